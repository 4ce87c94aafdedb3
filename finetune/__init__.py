"""Decoders on the pretrained encoder: train on labelled picks, predict, evaluate, tune."""

from typing import TYPE_CHECKING

from tomoseek.offers import offer  # and tomoseek sets how OpenMP waits, before torch loads it

if TYPE_CHECKING:
    from finetune.picking import TrainedPicker, load_picker

# Imported when they are asked for: torch takes seconds, and no command waits for what it does not use.
_HOMES = {"TrainedPicker": "picking", "load_picker": "picking"}

__all__ = ["TrainedPicker", "load_picker"]

__getattr__ = offer(__name__, _HOMES)
