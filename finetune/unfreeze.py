"""Which part of the encoder learns along with the decoder, and how fast."""

from collections import defaultdict
from enum import Enum
from typing import Any

import torch
from torch import nn

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


def parameter_groups(
    picker: Picker, learning_rate: float, encoder_scale: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Group what learns: the decoder at the full learning rate, the encoder's layers at less the deeper they lie.

    Parameters
    ----------
    picker
        Network.
    learning_rate
        Of the decoder.
    encoder_scale
        Rate of the encoder's uppermost layer over the decoder's.
    layer_decay
        Rate of each further layer over that of the one above it.

    Returns
    -------
    Groups for an optimizer; ``scale`` is the group's rate over the decoder's.

    References
    ----------
    Clark et al., ELECTRA, 2020; Bao et al., BEiT, 2021 (layer-wise learning-rate decay).
    """
    groups = [{"params": list(picker.decoder.parameters()), "lr": learning_rate, "scale": 1.0}]
    layers: dict[int, list[nn.Parameter]] = defaultdict(list)
    for name, parameter in picker.encoder.named_parameters():
        if parameter.requires_grad:
            layers[layers_above(name, picker.encoder.config.depth)].append(parameter)
    for depth, parameters in sorted(layers.items()):
        scale = encoder_scale * layer_decay**depth
        groups.append({"params": parameters, "lr": learning_rate * scale, "scale": scale})
    return groups


def layers_above(name: str, num_blocks: int) -> int:
    """Count the layers above a parameter; from the top: fusion, blocks, tokens, three levels of the pyramid."""
    part, *rest = name.split(".")
    if part == "pyramid":
        return num_blocks + 4 - int(rest[1])
    if part == "tokens" or rest[0] == "registers":
        return num_blocks + 1
    return num_blocks - int(rest[1]) if rest[0] == "blocks" else 0
