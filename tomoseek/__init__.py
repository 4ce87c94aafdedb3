"""tomoseek: a self-supervised foundation model for cryo-electron tomography."""

from tomoseek.encoder import Encoder, EncoderConfig
from tomoseek.weights import load_encoder, save_encoder

__version__ = "0.1.0"

__all__ = ["Encoder", "EncoderConfig", "__version__", "load_encoder", "save_encoder"]
