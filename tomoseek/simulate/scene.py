"""The specimen: particles, membranes and gold beads in a slab of ice, nothing overlapping."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tomoseek.errors import InputError
from tomoseek.simulate.assemblies import random_assembly
from tomoseek.simulate.membranes import add_gold_bead, add_vesicle, random_vesicle
from tomoseek.simulate.placing import Room, add_particles, bounding_radius
from tomoseek.simulate.symmetry import random_rotations


@dataclass(kw_only=True, slots=True)
class IceConfig:
    """What is in the ice beside the labelled particles. Pairs ``[low, high]`` are drawn evenly, once per run.

    Attributes
    ----------
    thickness_angstrom
        Of the ice; particles lie inside it, and it takes electrons. It may be thicker than the tomogram.
    gap_angstrom
        Between the bounding spheres of neighbours. Negative lets particles that are no spheres interlock.
    vesicles, gold_beads, small_proteins
        How many. Small proteins (30 to 120 kDa) are unlabelled clutter.
    vesicle_radius_angstrom
        In the plane of the ice.
    gold_diameter_angstrom
        Of the beads.
    """

    thickness_angstrom: list[float] = field(default_factory=lambda: [800.0, 1800.0])
    gap_angstrom: float = 0.0
    vesicles: list[int] = field(default_factory=lambda: [0, 1])
    gold_beads: list[int] = field(default_factory=lambda: [0, 2])
    small_proteins: list[int] = field(default_factory=lambda: [0, 0])
    vesicle_radius_angstrom: list[float] = field(default_factory=lambda: [250.0, 500.0])
    gold_diameter_angstrom: float = 100.0

    def __post_init__(self) -> None:
        lengths = ("thickness_angstrom", "vesicle_radius_angstrom")
        for name in (*lengths, "vesicles", "gold_beads", "small_proteins"):
            pair = getattr(self, name)
            if len(pair) != 2 or not 0 <= pair[0] <= pair[1]:
                raise InputError(f"ice.{name}: expected [low, high] with 0 <= low <= high, found {list(pair)}")


@dataclass(kw_only=True, slots=True)
class SceneConfig(IceConfig):
    """The ice, and the part of it that the tomogram shows.

    Attributes
    ----------
    shape
        Voxels z, y, x of the tomogram.
    voxel_spacing
        Å.
    """

    shape: list[int] = field(default_factory=lambda: [64, 256, 256])
    voxel_spacing: float = 10.0

    def __post_init__(self) -> None:
        IceConfig.__post_init__(self)
        if len(self.shape) != 3 or min(self.shape) < 16:
            raise InputError(f"size: expected voxels z y x of at least 16 each, found {list(self.shape)}")
        if self.voxel_spacing <= 0:
            raise InputError(f"voxel_spacing: expected a positive number of Å, found {self.voxel_spacing}")


@dataclass(slots=True)
class Specimen:
    """A filled volume and the truth about it.

    Attributes
    ----------
    density
        ``(z, y, x)``, protein 1, ice 0.
    points_xyz
        For each complex ``(n, 3)`` Å, in the frame of `tomoseek.geometry`.
    rotations
        For each complex ``(n, 3, 3)``: from the density's axes to the tomogram's, x y z.
    thickness_angstrom
        Of the ice.
    gold_xyz
        ``(n, 3)`` Å, centres of beads.
    distractors
        How many of each kind.
    """

    density: Tensor
    points_xyz: dict[str, NDArray[np.float64]]
    rotations: dict[str, NDArray[np.float64]]
    thickness_angstrom: float
    gold_xyz: NDArray[np.float64]
    distractors: dict[str, int]


def build_specimen(
    densities: dict[str, Tensor],
    counts: dict[str, int],
    scene: SceneConfig,
    generator: torch.Generator,
    device: torch.device,
    fixed_points: dict[str, NDArray[np.float64]] | None = None,
) -> Specimen:
    """Place particles at random, in random orientations, without overlap.

    Parameters
    ----------
    densities
        For each complex ``(n, n, n)``, n odd.
    counts
        How many of each; as many as fit are placed, the largest complexes first.
    scene
        The ice and what else is in it.
    generator
        On the CPU, so that a scene is the same on every device.
    device
        Where the volume is filled.
    fixed_points
        ``(n, 3)`` Å x y z for complexes whose places are known; they come on top of ``counts`` and are not
        checked for overlap with each other.
    """
    fixed_points = fixed_points or {}
    spacing = scene.voxel_spacing
    extent_xyz = (torch.tensor(scene.shape[::-1]) - 1) * spacing
    thickness = draw(scene.thickness_angstrom, generator)
    slab = min(thickness, float(extent_xyz[2]))
    low = torch.tensor([0.0, 0.0, (float(extent_xyz[2]) - slab) / 2])
    high = torch.tensor([float(extent_xyz[0]), float(extent_xyz[1]), (float(extent_xyz[2]) + slab) / 2])
    volume = torch.zeros(*scene.shape, device=device)

    radii = {name: bounding_radius(density, spacing) for name, density in densities.items()}
    room = Room(low, high, scene.gap_angstrom)
    for name, given in fixed_points.items():
        for point in given:
            room.occupy(torch.as_tensor(point, dtype=torch.float32), radii[name])
    for _ in range(draw_count(scene.vesicles, generator)):
        vesicle = random_vesicle(low, high, draw(scene.vesicle_radius_angstrom, generator), generator)
        if room.is_free_of(vesicle):
            room.vesicles.append(vesicle)
            add_vesicle(volume, vesicle, spacing)
    bead_radius = scene.gold_diameter_angstrom / 2
    beads = _find_places(room, bead_radius, draw_count(scene.gold_beads, generator), generator)
    for bead in beads:
        add_gold_bead(volume, bead, bead_radius, spacing)

    points_xyz: dict[str, NDArray[np.float64]] = {}
    rotations: dict[str, NDArray[np.float64]] = {}
    # The largest first: among small ones they would find no room.
    largest_first = sorted(counts, key=lambda name: -radii[name])
    free = {name: _find_places(room, radii[name], counts[name], generator) for name in largest_first}
    for name, density in densities.items():
        nothing = np.zeros((0, 3))
        known = torch.as_tensor(fixed_points.get(name, nothing), dtype=torch.float32)
        points = torch.cat([known, free.get(name, known[:0])])
        turned = random_rotations(len(points), generator)
        add_particles(volume, density, points, turned, spacing)
        points_xyz[name] = points.double().numpy()
        rotations[name] = turned.double().numpy()

    num_small = 0
    for _ in range(draw_count(scene.small_proteins, generator)):
        protein = random_assembly(generator, spacing, (30.0, 120.0), ("C1", "C2"))
        places = _find_places(room, bounding_radius(protein, spacing), 1, generator)
        add_particles(volume, protein, places, random_rotations(len(places), generator), spacing)
        num_small += len(places)
    distractors = {"vesicles": len(room.vesicles), "gold_beads": len(beads), "small_proteins": num_small}
    return Specimen(volume, points_xyz, rotations, thickness, beads.double().numpy(), distractors)


def _find_places(room: Room, radius: float, count: int, generator: torch.Generator) -> Tensor:
    """Take up to ``count`` free spheres; return ``(n, 3)`` centres."""
    places: list[Tensor] = []
    for _ in range(count):
        place = room.find_place(radius, generator)
        if place is None:
            break
        places.append(place)
    return torch.stack(places) if places else torch.zeros(0, 3)


def draw(pair: list[float], generator: torch.Generator) -> float:
    """Draw evenly between low and high."""
    return pair[0] + (pair[1] - pair[0]) * float(torch.rand((), generator=generator))


def draw_count(pair: list[int], generator: torch.Generator) -> int:
    """Draw a whole number from low to high, both included."""
    return int(torch.randint(pair[0], pair[1] + 1, (), generator=generator))
