"""Decoders on the pretrained encoder: train on labelled picks, predict, evaluate, tune."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import tomoseek  # noqa: F401 - it sets how OpenMP waits, before torch loads it

if TYPE_CHECKING:
    from finetune.picking import TrainedPicker, load_picker

# Imported when they are asked for: torch takes seconds, and no command waits for what it does not use.
_HOMES = {"TrainedPicker": "picking", "load_picker": "picking"}

__all__ = ["TrainedPicker", "load_picker"]


def __getattr__(name: str) -> Any:
    """Import what the package offers when it is asked for."""
    if name in _HOMES:
        return getattr(import_module(f"finetune.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'finetune' has no attribute '{name}'")
