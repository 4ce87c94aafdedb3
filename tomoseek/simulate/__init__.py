"""Physics simulator: tomograms with known particles, from densities to weighted back-projection."""

from tomoseek.simulate.assemblies import random_assembly
from tomoseek.simulate.builtin import BUILTIN, builtin_density
from tomoseek.simulate.maps import load_density
from tomoseek.simulate.microscope import MicroscopeConfig
from tomoseek.simulate.scene import SceneConfig
from tomoseek.simulate.tomogram import SimulatedTomogram, simulate_tomogram

__all__ = [
    "BUILTIN",
    "MicroscopeConfig",
    "SceneConfig",
    "SimulatedTomogram",
    "builtin_density",
    "load_density",
    "random_assembly",
    "simulate_tomogram",
]
