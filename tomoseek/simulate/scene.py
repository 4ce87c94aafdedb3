"""The specimen: particles, membranes, filaments, gold beads and a crowd in a slab of ice, nothing overlapping."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tomoseek.errors import InputError
from tomoseek.simulate.crowd import fill_crowd
from tomoseek.simulate.distractors import Membranes, add_filaments, add_membranes
from tomoseek.simulate.membranes import add_gold_bead
from tomoseek.simulate.placing import Room, add_particles, bounding_radius
from tomoseek.simulate.ranges import draw, draw_count
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
    vesicles, walls, filaments, gold_beads
        How many. A wall is a piece of an organelle's membrane, one bilayer or two, that crosses the field. Filaments
        are actin, microtubules and nucleic acids.
    membrane_proteins
        How many in each bilayer, 50 to 600 kDa, unlabelled.
    crowding
        Share of the ice's volume that unlabelled proteins take; 0.2 to 0.3 in cells.
    crowd_kda
        Lightest and heaviest of them.
    vesicle_radius_angstrom
        In the plane of the ice.
    gold_diameter_angstrom
        Of the beads.
    """

    thickness_angstrom: list[float] = field(default_factory=lambda: [800.0, 1800.0])
    gap_angstrom: float = 0.0
    vesicles: list[int] = field(default_factory=lambda: [0, 1])
    gold_beads: list[int] = field(default_factory=lambda: [0, 2])
    walls: list[int] = field(default_factory=lambda: [0, 0])
    filaments: list[int] = field(default_factory=lambda: [0, 0])
    membrane_proteins: list[int] = field(default_factory=lambda: [0, 0])
    crowding: list[float] = field(default_factory=lambda: [0.0, 0.0])
    crowd_kda: list[float] = field(default_factory=lambda: [20.0, 3000.0])
    vesicle_radius_angstrom: list[float] = field(default_factory=lambda: [250.0, 500.0])
    gold_diameter_angstrom: float = 100.0

    def __post_init__(self) -> None:
        counts = ("vesicles", "walls", "filaments", "membrane_proteins", "gold_beads")
        for name in ("thickness_angstrom", "vesicle_radius_angstrom", "crowding", "crowd_kda", *counts):
            pair = getattr(self, name)
            if len(pair) != 2 or not 0 <= pair[0] <= pair[1]:
                raise InputError(f"ice.{name}: expected [low, high] with 0 <= low <= high, found {list(pair)}")
        if self.crowding[1] > 0.4:
            raise InputError(f"ice.crowding: expected at most 0.4, where no more fits, found {list(self.crowding)}")
        if self.crowd_kda[0] < 10:
            raise InputError(f"ice.crowd_kda: expected at least 10 kDa, found {list(self.crowd_kda)}")


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
    slab
        First voxel along z that the ice fills, and one past the last.
    gold_xyz
        ``(n, 3)`` Å, centres of beads.
    crowd_xyz
        ``(n, 3)`` Å, centres of unlabelled proteins as heavy as particles.
    clutter_xyz
        ``(n, 3)`` Å, points on what is no particle: bilayers and filaments.
    distractors
        How many of each kind.
    """

    density: Tensor
    points_xyz: dict[str, NDArray[np.float64]]
    rotations: dict[str, NDArray[np.float64]]
    thickness_angstrom: float
    slab: tuple[int, int]
    gold_xyz: NDArray[np.float64]
    crowd_xyz: NDArray[np.float64]
    clutter_xyz: NDArray[np.float64]
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

    room = Room(low, high, scene.gap_angstrom)
    for name, given in fixed_points.items():
        for point in given:
            room.occupy(torch.as_tensor(point, dtype=torch.float32), bounding_radius(densities[name], spacing))
    membranes = Membranes(scene.vesicles, scene.vesicle_radius_angstrom, scene.walls, scene.membrane_proteins)
    on_membranes, num_proteins = add_membranes(volume, room, membranes, spacing, generator)
    on_filaments, num_filaments = add_filaments(volume, room, scene.filaments, spacing, generator)
    bead_radius = scene.gold_diameter_angstrom / 2
    beads = _find_places(room, bead_radius, draw_count(scene.gold_beads, generator), generator)
    for bead in beads:
        add_gold_bead(volume, bead, bead_radius, spacing)

    points_xyz, rotations = _place_complexes(volume, room, densities, counts, fixed_points, spacing, generator)

    share = draw(scene.crowding, generator)
    layers = round(float(low[2]) / spacing), round(float(high[2]) / spacing) + 1
    crowd, num_crowd = np.zeros((0, 3)), 0
    if share:
        lightest, heaviest = scene.crowd_kda
        crowd, num_crowd = fill_crowd(volume, layers, share, (lightest, heaviest), spacing, generator)
    distractors = {
        "vesicles": len(room.vesicles), "membrane_proteins": num_proteins, "filaments": num_filaments,
        "gold_beads": len(beads), "crowd": num_crowd,
    }  # fmt: skip
    gold = beads.double().numpy()
    clutter = np.concatenate([on_membranes, on_filaments])
    return Specimen(volume, points_xyz, rotations, thickness, layers, gold, crowd, clutter, distractors)


def _place_complexes(
    volume: Tensor,
    room: Room,
    densities: dict[str, Tensor],
    counts: dict[str, int],
    fixed_points: dict[str, NDArray[np.float64]],
    spacing: float,
    generator: torch.Generator,
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Paint the labelled complexes; return points ``(n, 3)`` in Å and rotations ``(n, 3, 3)`` of each."""
    radii = {name: bounding_radius(density, spacing) for name, density in densities.items()}
    # The largest first: among small ones they would find no room.
    largest_first = sorted(counts, key=lambda name: -radii[name])
    free = {name: _find_places(room, radii[name], counts[name], generator) for name in largest_first}
    points_xyz, rotations = {}, {}
    for name, density in densities.items():
        known = torch.as_tensor(fixed_points.get(name, np.zeros((0, 3))), dtype=torch.float32)
        points = torch.cat([known, free.get(name, known[:0])])
        turned = random_rotations(len(points), generator)
        add_particles(volume, density, points, turned, spacing)
        points_xyz[name] = points.double().numpy()
        rotations[name] = turned.double().numpy()
    return points_xyz, rotations


def _find_places(room: Room, radius: float, count: int, generator: torch.Generator) -> Tensor:
    """Take up to ``count`` free spheres; return ``(n, 3)`` centres."""
    places: list[Tensor] = []
    for _ in range(count):
        place = room.find_place(radius, generator)
        if place is None:
            break
        places.append(place)
    return torch.stack(places) if places else torch.zeros(0, 3)
