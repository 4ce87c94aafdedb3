"""Tomograms with known particles, on which an encoder's searches are measured."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tomoseek.errors import InputError
from tomoseek.simulate import MicroscopeConfig, SceneConfig, load_density, random_assembly, simulate_tomogram
from tomoseek.simulate.placing import bounding_radius
from tomoseek.tomograms.tomogram import Tomogram

FIRST_ASSEMBLY = 2**41 + 1000  # pretraining draws its assemblies from below 2**40
MASS_KDA = (450.0, 800.0)  # of one mass, so that only their shapes tell them apart
SMALL_KDA = (40.0, 250.0)
NUM_SMALL = 6


@dataclass(kw_only=True, slots=True)
class Specimens:
    """What is simulated.

    Attributes
    ----------
    maps
        Density maps or structures to look for; none: assemblies are invented.
    num_classes
        Of invented assemblies.
    particles_per_class
        In each tomogram, as many as fit.
    num_tomograms
        Of each kind.
    scene
        Voxels z y x.
    snr
        Range of the signal-to-noise ratio of a projection, by the name of a kind of ice.
    """

    maps: list[str]
    num_classes: int
    particles_per_class: int
    num_tomograms: int
    scene: list[int]
    snr: dict[str, list[float]]

    def __post_init__(self) -> None:
        if self.num_tomograms < 2:
            raise InputError(f"specimens.num_tomograms: expected 2 or more, found {self.num_tomograms}")
        if not self.maps and self.num_classes < 2:
            raise InputError(f"specimens.num_classes: expected 2 or more, found {self.num_classes}")
        if not self.snr:
            raise InputError("specimens.snr: expected at least one kind of ice, {bright: [0.15, 0.5]}, found none")


@dataclass(frozen=True)
class Known:
    """A tomogram, of each class ``(n, 3)`` true centres x y z in Å, and its radius in Å."""

    tomogram: Tomogram
    points_xyz: dict[str, NDArray[np.float64]]
    radii: dict[str, float]


def simulate_known(
    specimens: Specimens, voxel_spacing: float, seed: int, device: torch.device
) -> dict[str, list[Known]]:
    """Simulate the tomograms of every kind of ice, with small proteins among the particles."""
    wanted: dict[str, Tensor] = {Path(path).stem: load_density(Path(path), voxel_spacing) for path in specimens.maps}
    if not specimens.maps:
        numbers = range(FIRST_ASSEMBLY, FIRST_ASSEMBLY + specimens.num_classes)
        wanted = {f"assembly-{k - FIRST_ASSEMBLY}": random_assembly(k, voxel_spacing, MASS_KDA) for k in numbers}
    numbers = range(FIRST_ASSEMBLY + 500, FIRST_ASSEMBLY + 500 + NUM_SMALL)
    small = {f"small-{k - FIRST_ASSEMBLY}": random_assembly(k, voxel_spacing, SMALL_KDA) for k in numbers}
    densities = {name: density.to(device) for name, density in {**wanted, **small}.items()}
    counts = dict.fromkeys(wanted, specimens.particles_per_class) | dict.fromkeys(
        small, 2 * specimens.particles_per_class
    )
    radii = {name: bounding_radius(density, voxel_spacing) for name, density in wanted.items()}
    scene = SceneConfig(shape=specimens.scene, voxel_spacing=voxel_spacing)
    known: dict[str, list[Known]] = {}
    for number, (kind, snr) in enumerate(specimens.snr.items()):
        known[kind] = []
        for k in range(specimens.num_tomograms):
            simulated = simulate_tomogram(
                densities, counts, scene, MicroscopeConfig(snr=list(snr)), seed=seed + 100 * number + k, device=device
            )
            tomogram = Tomogram.from_array(simulated.full.cpu().numpy(), voxel_spacing, run=f"{kind}_{k}")
            known[kind].append(Known(tomogram, {name: simulated.points[name] for name in wanted}, radii))
    return known
