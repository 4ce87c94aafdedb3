"""tomoseek: a self-supervised foundation model for cryo-electron tomography."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tomoseek.network.encoder import Encoder, EncoderConfig
    from tomoseek.network.weights import load_encoder, save_encoder

__all__ = ["Encoder", "EncoderConfig", "__version__", "load_encoder", "save_encoder"]


def __getattr__(name: str) -> Any:
    """Import the encoder when it is asked for: torch and timm take seconds, reading picks needs neither."""
    if name in {"Encoder", "EncoderConfig"}:
        from tomoseek.network import encoder

        return getattr(encoder, name)
    if name in {"load_encoder", "save_encoder"}:
        from tomoseek.network import weights

        return getattr(weights, name)
    raise AttributeError(f"module 'tomoseek' has no attribute '{name}'")
