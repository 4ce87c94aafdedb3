"""What fills cytoplasm: unlabelled proteins of all masses, wherever nothing else is, shapes interlocking.

Shapes: n proteins, z y x voxels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tomoseek.geometry import indices_to_points
from tomoseek.simulate.assemblies import random_assembly
from tomoseek.simulate.domains import mass_kda
from tomoseek.simulate.placing import turned_copies
from tomoseek.simulate.symmetry import random_rotations

KINDS = 32
TURNS = 6  # orientations of each kind
SOLID = 0.3  # density from which on a voxel is taken
TRIES = 24  # places tried for one protein
# From here on a protein of the crowd counts as a particle, though of no class: as heavy as the lightest classes.
PARTICLE_KDA = 150.0

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stamp:
    """One protein in one orientation: its density ``(z, y, x)``, and which of its voxels are taken."""

    density: Floats
    solid: NDArray[np.bool_]


def fill_crowd(
    volume: Tensor,
    slab: tuple[int, int],
    share: float,
    mass_range_kda: tuple[float, float],
    voxel_spacing: float,
    generator: torch.Generator,
) -> tuple[NDArray[np.float64], int]:
    """Add proteins until they take a share of the slab, or no more of them fit.

    Masses are spread so that every octave of mass takes the same volume, a rough picture of a cell, of which
    macromolecules take 20 to 30 %. Whole voxels of one protein never fall on those of another.

    Parameters
    ----------
    volume
        ``(z, y, x)``, changed in place; what is in it already stays free of the crowd.
    slab
        First voxel along z, and one past the last.
    share
        Of the slab's volume.
    mass_range_kda
        Lightest and heaviest.
    voxel_spacing
        Å.
    generator
        On the CPU.

    Returns
    -------
    tuple
        ``(n, 3)`` x y z in Å: centres of those heavy enough to count as particles. And how many there are of all.

    References
    ----------
    Ellis, Macromolecular crowding: obvious but underappreciated, 2001.
    """
    random = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    low, high = np.log(mass_range_kda)
    masses = np.exp(np.sort(random.uniform(low, high, KINDS))[::-1])  # the heaviest first: later they find no room
    taken = np.ones(volume.shape, dtype=bool)
    taken[slab[0] : slab[1]] = (volume[slab[0] : slab[1]] > SOLID).cpu().numpy()
    room = share * (slab[1] - slab[0]) * volume.shape[1] * volume.shape[2]
    crowd = np.zeros(volume.shape, dtype=np.float32)
    centres: list[NDArray[np.int64]] = []
    count = 0
    for mass in masses:
        density = random_assembly(generator, voxel_spacing, (float(mass), float(mass) * 1.05), ("C1", "C2", "D2", "C3"))
        stamps = _turned(density, generator)
        wanted = round(room / KINDS / float(density.sum()) + random.uniform(-0.5, 0.5))
        placed = _stamp(crowd, taken, stamps, slab, wanted, random)
        count += len(placed)
        if mass_kda(density, voxel_spacing) >= PARTICLE_KDA:
            centres += placed
    volume += torch.from_numpy(crowd).to(volume.device)
    middles = np.array(centres, dtype=np.float64).reshape(-1, 3)
    return indices_to_points(middles, voxel_spacing), count


def _turned(density: Tensor, generator: torch.Generator) -> list[Stamp]:
    copies = turned_copies(density, random_rotations(TURNS, generator)).numpy()
    return [Stamp(copy, copy > SOLID) for copy in copies]


def _stamp(
    crowd: Floats,
    taken: NDArray[np.bool_],
    stamps: list[Stamp],
    slab: tuple[int, int],
    wanted: int,
    random: np.random.Generator,
) -> list[NDArray[np.int64]]:
    """Put up to ``wanted`` copies where they hit nothing, in both arrays; return their centres z y x."""
    size = stamps[0].density.shape[0]
    half = size // 2
    bounds = [slab, (0, taken.shape[1]), (0, taken.shape[2])]
    if any(last - first < 1 for first, last in bounds):
        return []
    placed: list[NDArray[np.int64]] = []
    for _ in range(wanted):
        stamp = stamps[int(random.integers(len(stamps)))]
        tried = np.stack([random.integers(first, last, TRIES) for first, last in bounds], 1)  # n 3
        for centre in tried[~taken[tuple(tried.T)]]:
            corner = centre - half
            first, last = np.maximum(corner, 0), np.minimum(corner + size, taken.shape)
            there = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
            own = tuple(slice(a, b) for a, b in zip(first - corner, last - corner, strict=True))
            solid = stamp.solid[own]
            if (taken[there] & solid).any():
                continue
            taken[there] |= solid
            crowd[there] += stamp.density[own]
            placed.append(centre)
            break
    return placed
