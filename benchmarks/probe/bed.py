"""The test bed: bright and dim tomograms of complexes that no encoder was trained on.

The maps are real ones where a folder of them is given, procedural assemblies otherwise. Everything follows from
fixed seeds.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tomoseek.config import Polarity
from tomoseek.simulate import (
    MicroscopeConfig,
    SceneConfig,
    SimulatedTomogram,
    load_density,
    random_assembly,
    simulate_tomogram,
)
from tomoseek.simulate.maps import HOLLOW_RADIUS
from tomoseek.simulate.placing import bounding_radius
from tomoseek.tomograms import Tomogram

SPACING = 10.0
SHAPE = [96, 256, 256]
PER_CLASS = 20
CLUTTER_PER_CLASS = 40
NUM_TOMOGRAMS = 3
SNR = {"bright": [0.15, 0.5], "dim": [0.02, 0.1]}

# Maps that pretraining may use, and those it may not. All ribosomes are on one side: they are much alike.
SEEN = ("6qzp", "4v7r", "5mrc", "4v4r", "4v4r_50S", "4v4r_30S", "2cg9", "1u6g", "3d2f")
UNSEEN = {"6pxm": 60.0, "1f4a": 90.0, "7n4y": 130.0, "8tux": 135.0, "1qvr": 80.0, "3ipm": 75.0}  # radius, Å
HOLLOW = {"8tux": HOLLOW_RADIUS["virus-like-particle"]}
# In dim tomograms, unlabelled.
CLUTTER = ("3gl1", "3h84", "1s3x", "2cg9", "1u6g", "3d2f")
SMALLEST = "6pxm"
PROCEDURAL_SEED = 2**41  # the metric stage draws its assemblies from below 2**40


@dataclass(frozen=True, slots=True)
class Bed:
    """Tomograms of one regime.

    Attributes
    ----------
    tomograms
        Protein dark, as reconstructed.
    simulated
        Halves, truth and what was drawn, in the same order.
    points
        For each tomogram and class ``(n, 3)`` x y z in Å.
    radii
        Å, by class.
    densities
        ``(n, n, n)`` by class, the true maps.
    """

    name: str
    tomograms: list[Tomogram]
    simulated: list[SimulatedTomogram]
    points: list[dict[str, NDArray[np.float64]]]
    radii: dict[str, float]
    densities: dict[str, Tensor]


def make_bed(name: str, maps: Path | None) -> Bed:
    """Simulate the tomograms of a regime, ``bright`` or ``dim``."""
    if maps is None:
        densities = {
            f"procedural-{k}": random_assembly(PROCEDURAL_SEED + k, SPACING, (300.0, 2600.0)) for k in range(6)
        }
        clutter = {f"small-{k}": random_assembly(PROCEDURAL_SEED + 100 + k, SPACING, (40.0, 250.0)) for k in range(6)}
        radii = {key: bounding_radius(density, SPACING) for key, density in densities.items()}
    else:
        densities = {
            key: load_density(maps / f"{key}.mrc", SPACING, hollow_radius=HOLLOW.get(key, 0.0)) for key in UNSEEN
        }
        clutter = {key: load_density(maps / f"{key}.mrc", SPACING) for key in CLUTTER}
        radii = dict(UNSEEN)
    everything, counts = dict(densities), dict.fromkeys(densities, PER_CLASS)
    if name == "dim":
        everything |= clutter
        counts |= dict.fromkeys(clutter, CLUTTER_PER_CLASS)
    simulated = [
        simulate_tomogram(
            everything, counts, SceneConfig(shape=SHAPE, voxel_spacing=SPACING), MicroscopeConfig(snr=SNR[name]), seed
        )
        for seed in range(9_000, 9_000 + NUM_TOMOGRAMS)
    ]
    tomograms = [
        Tomogram(
            run=f"{name}_{k}", tomogram_type="wbp", voxel_spacing=SPACING, array=tomogram.full.numpy(),
            polarity=Polarity.dark, source="simulator",
        )
        for k, tomogram in enumerate(simulated)
    ]  # fmt: skip
    points = [{key: tomogram.points[key] for key in densities} for tomogram in simulated]
    return Bed(name, tomograms, simulated, points, radii, densities)
