"""tomoseek: a self-supervised foundation model for cryo-electron tomography."""

import os
import sys
from typing import TYPE_CHECKING

from tomoseek.offers import offer

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tomoseek.network.encoder import Encoder, EncoderConfig
    from tomoseek.network.weights import load_encoder, save_encoder
    from tomoseek.picks.pick_set import PickSet
    from tomoseek.picks.points import Picks
    from tomoseek.tomograms.opening import open_tomogram
    from tomoseek.tomograms.tomogram import Tomogram

# OpenMP reads its settings once, when torch or faiss load it. Left alone its threads spin while they wait for each
# other, on a busy machine in each other's way: benchmarks/results/speed_waiting.md.
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys() and "torch" not in sys.modules:
    os.environ["GOMP_SPINCOUNT"] = "10000"

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

__getattr__ = offer(__name__, _HOMES)
