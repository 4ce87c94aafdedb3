"""tomoseek: a self-supervised foundation model for cryo-electron tomography."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tomoseek.network.encoder import Encoder, EncoderConfig
    from tomoseek.network.weights import load_encoder, save_encoder
    from tomoseek.picks.pick_set import PickSet
    from tomoseek.picks.points import Picks
    from tomoseek.tomograms.opening import open_tomogram
    from tomoseek.tomograms.tomogram import Tomogram

# Imported when they are asked for: torch and timm take seconds, opening a tomogram needs neither.
_HOMES = {
    "Encoder": "network.encoder",
    "EncoderConfig": "network.encoder",
    "PickSet": "picks.pick_set",
    "Picks": "picks.points",
    "Tomogram": "tomograms.tomogram",
    "load_encoder": "network.weights",
    "open_tomogram": "tomograms.opening",
    "save_encoder": "network.weights",
}

__all__ = [
    "Encoder",
    "EncoderConfig",
    "PickSet",
    "Picks",
    "Tomogram",
    "__version__",
    "load_encoder",
    "open_tomogram",
    "save_encoder",
]


def __getattr__(name: str) -> Any:
    """Import what the package offers when it is asked for."""
    if name in _HOMES:
        return getattr(import_module(f"tomoseek.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'tomoseek' has no attribute '{name}'")
