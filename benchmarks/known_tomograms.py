"""What several benchmarks share: simulated tomograms of complexes that no encoder was trained on, in four regimes.

The maps are real ones where a folder of them is given, procedural assemblies otherwise. Everything follows from
fixed seeds.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embed.index import Index
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
from tomoseek.simulate.processing import ProcessingConfig
from tomoseek.tomograms.tomogram import Tomogram

PER_CLASS = 20
CLUTTER_PER_CLASS = 40
NUM_TOMOGRAMS = 3


@dataclass(frozen=True, slots=True)
class Regime:
    """How the tomograms of a known are imaged.

    Attributes
    ----------
    snr
        Range of the signal-to-noise ratio of a projection.
    clutter
        Whether unlabelled small proteins lie among the particles.
    voxel_spacing
        Å.
    defocus_um
        Range of underfocus.
    thickness_angstrom
        Of the ice and of the tomogram; None: as the simulator has it.
    ice
        What else is in it, as settings of the simulator.
    processing
        What was done to the reconstruction.
    """

    snr: tuple[float, float]
    clutter: bool = True
    voxel_spacing: float = 10.0
    defocus_um: tuple[float, float] = (2.5, 5.0)
    thickness_angstrom: float | None = None
    ice: dict[str, Any] = field(default_factory=dict)
    processing: ProcessingConfig | None = None


IN_SITU = {
    "crowding": [0.15, 0.35], "walls": [0, 1], "vesicles": [0, 1], "membrane_proteins": [20, 60], "filaments": [4, 10],
    "thickness_angstrom": [800.0, 2000.0],
}  # fmt: skip
MIXED = ProcessingConfig(
    binned_share=0.5, binned_from=[1.2, 2.0], deconvolution_share=0.5, denoised_share=0.3, lowpass_share=0.5,
    lowpass_angstrom=[20.0, 40.0], contrast_slope=[-0.3, 0.3], quantised_share=1.0,
)  # fmt: skip
REGIMES = {
    "bright": Regime((0.15, 0.5), clutter=False),
    "dim": Regime((0.02, 0.1)),
    "in situ": Regime((0.2, 1.0), clutter=False, ice=IN_SITU),
    "processed": Regime((0.05, 0.3), processing=MIXED),
    "far defocus": Regime((0.02, 0.1), defocus_um=(8.0, 9.0)),
    "low dose": Regime((0.008, 0.012)),
    "thick ice": Regime((0.02, 0.1), thickness_angstrom=1900.0),
    "7.8 Å": Regime((0.02, 0.1), voxel_spacing=7.84),
    "13.5 Å": Regime((0.02, 0.1), voxel_spacing=13.5),
}
PURIFIED = ("bright", "dim")
STANDARD = (*PURIFIED, "in situ", "processed")
EXTENT_ANGSTROM = (960.0, 2560.0, 2560.0)  # z y x

# Maps that pretraining may use, and those it may not. All ribosomes are on one side: they are much alike.
SEEN = ("6qzp", "4v7r", "5mrc", "4v4r", "4v4r_50S", "4v4r_30S", "2cg9", "1u6g", "3d2f")
UNSEEN = {"6pxm": 60.0, "1f4a": 90.0, "7n4y": 130.0, "8tux": 135.0, "1qvr": 80.0, "3ipm": 75.0}  # radius, Å
# Where the search itself was developed: classes of tomograms that no result is taken from.
DEVELOPMENT = {"6qzp": 150.0, "4v4r_50S": 120.0, "4v4r_30S": 110.0, "2cg9": 70.0, "1u6g": 75.0, "3d2f": 65.0}
HOLLOW = {"8tux": HOLLOW_RADIUS["virus-like-particle"]}
# In dim tomograms, unlabelled.
CLUTTER = ("3gl1", "3h84", "1s3x", "2cg9", "1u6g", "3d2f")
SMALLEST = "6pxm"
ANY_MASS, ONE_MASS = (300.0, 2600.0), (450.0, 800.0)  # kDa, of procedural classes; the latter for development
PROCEDURAL_SEED = 2**41  # the metric stage draws its assemblies from below 2**40


@dataclass(frozen=True, slots=True)
class KnownTomograms:
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

    regime: Regime
    tomograms: list[Tomogram]
    simulated: list[SimulatedTomogram]
    points: list[dict[str, NDArray[np.float64]]]
    radii: dict[str, float]
    densities: dict[str, Tensor]


def simulate_regime(
    regime: Regime, densities: dict[str, Tensor], counts: dict[str, int], seeds: Iterable[int]
) -> list[SimulatedTomogram]:
    """Simulate a tomogram of each seed, as the regime has it; densities are at its voxel spacing."""
    spacing = regime.voxel_spacing
    extent = (regime.thickness_angstrom or EXTENT_ANGSTROM[0], *EXTENT_ANGSTROM[1:])
    scene = SceneConfig(
        shape=[round(length / spacing / 8) * 8 for length in extent], voxel_spacing=spacing, **regime.ice
    )
    if regime.thickness_angstrom:
        scene.thickness_angstrom = [regime.thickness_angstrom] * 2
    microscope = MicroscopeConfig(snr=list(regime.snr), defocus_um=list(regime.defocus_um))
    return [
        simulate_tomogram(densities, counts, scene, microscope, seed, processing=regime.processing) for seed in seeds
    ]


def make_tomograms(name: str, maps: Path | None, development: bool = False) -> KnownTomograms:
    """Simulate the tomograms of one of `REGIMES`; for development, with other complexes and other seeds."""
    regime = REGIMES[name]
    spacing = regime.voxel_spacing
    if maps is None:
        first, mass_kda = (PROCEDURAL_SEED + 500, ONE_MASS) if development else (PROCEDURAL_SEED, ANY_MASS)
        seeds = range(first, first + len(UNSEEN))
        densities = {f"procedural-{k}": random_assembly(k, spacing, mass_kda) for k in seeds}
        seeds = range(PROCEDURAL_SEED + 100, PROCEDURAL_SEED + 100 + len(CLUTTER))
        clutter = {f"small-{k}": random_assembly(k, spacing, (40.0, 250.0)) for k in seeds}
        radii = {key: bounding_radius(density, spacing) for key, density in densities.items()}
    else:
        radii = dict(DEVELOPMENT if development else UNSEEN)
        densities = {
            key: load_density(maps / f"{key}.mrc", spacing, hollow_radius=HOLLOW.get(key, 0.0)) for key in radii
        }
        clutter = {key: load_density(maps / f"{key}.mrc", spacing) for key in CLUTTER if key not in radii}
    everything, counts = dict(densities), dict.fromkeys(densities, PER_CLASS)
    if regime.clutter:
        everything |= clutter
        counts |= dict.fromkeys(clutter, CLUTTER_PER_CLASS)
    first = 8_000 if development else 9_000
    simulated = simulate_regime(regime, everything, counts, range(first, first + NUM_TOMOGRAMS))
    tomograms = [
        Tomogram(
            run=f"{name}_{k}", tomogram_type="wbp", voxel_spacing=spacing, array=tomogram.full.numpy(),
            polarity=Polarity.dark, source="simulator",
        )
        for k, tomogram in enumerate(simulated)
    ]  # fmt: skip
    points = [{key: tomogram.points[key] for key in densities} for tomogram in simulated]
    return KnownTomograms(regime, tomograms, simulated, points, radii, densities)


def build_index(folder: Path, source: str, known: KnownTomograms, device: torch.device) -> Index:
    """Embed all tomograms of a known with one encoder."""
    index = Index.create(folder, source, device=str(device))
    for tomogram in known.tomograms:
        index.add(tomogram)
    return index


def draw_examples(points_xyz: NDArray[np.float64], support: int, shots: int, seed: int) -> NDArray[np.float64]:
    """Draw a few of ``(n, 3)`` points of a class in tomogram ``support``; a larger draw holds the smaller ones."""
    return points_xyz[np.random.default_rng([seed, support]).permutation(len(points_xyz))[:shots]]
