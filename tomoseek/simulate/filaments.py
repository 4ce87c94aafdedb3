"""Filaments that cross the specimen: actin, microtubules, nucleic acids.

Shapes: p points along a path, m subunits.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tomoseek.simulate.domains import domain, rasterise
from tomoseek.simulate.placing import add_particles
from tomoseek.simulate.symmetry import random_rotations

STEP = 20.0  # Å between points of a path


@dataclass(frozen=True, slots=True)
class Polymer:
    """A helix of like subunits, straight over its persistence length.

    Attributes
    ----------
    subunit_kda
        Mass of one subunit, a ball.
    distance
        Å of a subunit's centre from the axis.
    rise, twist_degree
        From one subunit to the next, along the axis and about it.
    starts
        Number of such helices side by side.
    persistence
        Å.
    radius
        Å, of the whole.
    density
        1 for protein, more for nucleic acids.
    """

    subunit_kda: float
    distance: float
    rise: float
    twist_degree: float
    starts: int
    persistence: float
    radius: float
    density: float = 1.0


# Actin: Dominguez & Holmes 2011. Microtubule of 13 straight protofilaments: Li et al. 2002. B-DNA of 650 Da a base pair
# and 3.4 Å, 30 of them a bead; single-stranded RNA, 320 Da a base.
POLYMERS = {
    "actin": Polymer(42.0, 22.0, 27.5, -166.6, 1, 150_000.0, 40.0),
    "microtubule": Polymer(50.0, 112.0, 40.0, 0.0, 13, 5_000_000.0, 135.0),
    "dna": Polymer(19.5 / 5, 0.0, 20.4, 0.0, 1, 500.0, 12.0, density=1.3),
    "rna": Polymer(6.0, 0.0, 20.0, 0.0, 1, 30.0, 12.0, density=1.3),
}
# How often each is drawn: a cell has more of the thin ones.
WEIGHTS = {"actin": 0.3, "microtubule": 0.15, "dna": 0.3, "rna": 0.25}
LONGEST = {"dna": 6000.0, "rna": 3000.0}  # Å; the others cross the field


def draw_polymer(generator: torch.Generator) -> str:
    """Draw the kind of a filament."""
    weights = torch.tensor(list(WEIGHTS.values()))
    return list(WEIGHTS)[int(torch.multinomial(weights, 1, generator=generator))]


def draw_path(kind: str, low_xyz: Tensor, high_xyz: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a worm-like chain through a point of the slab, mostly along it: ``(p, 3)`` Å, cut off where it leaves.

    References
    ----------
    Kratky & Porod, Röntgenuntersuchung gelöster Fadenmoleküle, 1949: directions forget themselves over the persistence
    length.
    """
    polymer = POLYMERS[kind]
    middle = low_xyz + (high_xyz - low_xyz) * torch.rand(3, generator=generator)
    direction = random_rotations(1, generator)[0, 0]
    if polymer.persistence > 1e4:  # stiff ones do not fit across a thin slab
        direction = direction * torch.tensor([1.0, 1.0, 0.15])
    direction = direction / direction.norm()
    longest = LONGEST.get(kind, 2 * float((high_xyz - low_xyz).norm()))
    bend = math.sqrt(STEP / polymer.persistence)  # along each of two directions
    arms = []
    for sense in (1.0, -1.0):
        steps = max(1, int(longest / 2 / STEP))
        turns = bend * torch.randn(steps, 3, generator=generator)
        heading, place, arm = sense * direction, middle, []
        for turn in turns:
            heading = heading + turn - heading * (heading @ turn)
            heading = heading / heading.norm()
            place = place + STEP * heading
            if bool((place < low_xyz + polymer.radius).any() or (place > high_xyz - polymer.radius).any()):
                break
            arm.append(place)
        arms.append(arm)
    return torch.stack([*reversed(arms[1]), middle, *arms[0]])


def add_filament(volume: Tensor, kind: str, path_xyz: Tensor, voxel_spacing: float) -> None:
    """Paint a filament along a path ``(p, 3)`` Å into a ``(z, y, x)`` volume."""
    polymer = POLYMERS[kind]
    subunit = rasterise(domain(polymer.subunit_kda, (0.0, 0.0, 0.0), density=polymer.density), voxel_spacing)
    places = subunit_places(polymer, path_xyz)
    add_particles(volume, subunit, places, torch.eye(3).expand(len(places), 3, 3), voxel_spacing)


def subunit_places(polymer: Polymer, path_xyz: Tensor) -> Tensor:
    """Return ``(m, 3)`` Å: the centres of a polymer's subunits along a path ``(p, 3)``."""
    length = STEP * (len(path_xyz) - 1)
    along = torch.arange(0.0, max(length, polymer.rise), polymer.rise)  # (m,)
    place = (along / STEP).clamp_max(len(path_xyz) - 1.001).clamp_min(0)
    before = place.long().clamp_max(max(len(path_xyz) - 2, 0))
    after = (before + 1).clamp_max(len(path_xyz) - 1)
    axis = torch.lerp(path_xyz[before], path_xyz[after], (place - before)[:, None])
    if polymer.distance == 0:
        return axis
    heading = path_xyz[-1] - path_xyz[0]
    heading = heading / heading.norm().clamp_min(1e-6)
    aside = torch.linalg.cross(heading, torch.eye(3)[int(heading.abs().argmin())])
    aside = aside / aside.norm()
    across = torch.linalg.cross(heading, aside)
    angle = torch.deg2rad(polymer.twist_degree * torch.arange(len(axis)))[:, None]
    angle = angle + 2 * math.pi / polymer.starts * torch.arange(polymer.starts)  # (m, s)
    ring = angle.cos()[..., None] * aside + angle.sin()[..., None] * across
    places: Tensor = axis[:, None] + polymer.distance * ring
    return places.reshape(-1, 3)
