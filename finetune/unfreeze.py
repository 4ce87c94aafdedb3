"""Which part of the encoder learns along with the decoder, and how fast."""

from enum import Enum
from typing import Any

from finetune.decoder import Picker
from tomoseek.network.encoder import Encoder


class Unfreeze(Enum):
    """Which part of the encoder learns along with the decoder."""

    none = "none"
    top = "top"
    all = "all"


def freeze(encoder: Encoder, unfreeze: Unfreeze) -> None:
    """Freeze what shall not learn; the encoder's own search heads play no part in a picker."""
    encoder.requires_grad_(unfreeze is not Unfreeze.none)
    if unfreeze is Unfreeze.top:
        encoder.pyramid.requires_grad_(False)
    encoder.embedding.requires_grad_(False)
    encoder.particle.requires_grad_(False)


def parameter_groups(picker: Picker, learning_rate: float, encoder_scale: float) -> list[dict[str, Any]]:
    """Group what learns: the decoder, and whatever of the encoder is not frozen at ``encoder_scale`` of its rate.

    Returns
    -------
    Groups for an optimizer; ``scale`` is the group's rate over the decoder's.
    """
    parts = ((picker.decoder, 1.0), (picker.encoder, encoder_scale))
    learning = [([parameter for parameter in part.parameters() if parameter.requires_grad], k) for part, k in parts]
    return [{"params": each, "lr": learning_rate * scale, "scale": scale} for each, scale in learning if each]
