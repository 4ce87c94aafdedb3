"""Which part of the encoder learns along with the decoder, and how fast."""

from enum import Enum
from typing import Any

import torch

from finetune.decoder import Decoder, Picker
from tomoseek.network.weights import load_encoder


class Unfreeze(Enum):
    """Which part of the encoder learns along with the decoder."""

    none = "none"
    top = "top"
    all = "all"


def fresh_picker(encoder: str, unfreeze: Unfreeze, num_classes: int, decoder_channels: list[int], seed: int) -> Picker:
    """Load the encoder, freeze what shall not learn, and put a fresh decoder on it, drawn from the seed."""
    loaded = load_encoder(encoder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        decoder = Decoder(loaded.config, num_classes, decoder_channels)
    loaded.requires_grad_(unfreeze is not Unfreeze.none)
    if unfreeze is Unfreeze.top:
        loaded.pyramid.requires_grad_(False)
    # The encoder's own search heads play no part here.
    loaded.embedding.requires_grad_(False)
    loaded.particle.requires_grad_(False)
    return Picker(loaded, decoder, unfreeze is Unfreeze.none)


def parameter_groups(picker: Picker, learning_rate: float, encoder_scale: float) -> list[dict[str, Any]]:
    """Group what learns: the decoder, and whatever of the encoder is not frozen at ``encoder_scale`` of its rate.

    Returns
    -------
    Groups for an optimizer; ``scale`` is the group's rate over the decoder's.
    """
    parts = ((picker.decoder, 1.0), (picker.encoder, encoder_scale))
    learning = [([parameter for parameter in part.parameters() if parameter.requires_grad], k) for part, k in parts]
    return [{"params": each, "lr": learning_rate * scale, "scale": scale} for each, scale in learning if each]
