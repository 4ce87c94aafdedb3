"""Membranes with proteins in them, and filaments: they take room before particles do, and are no particles."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tomoseek.simulate.assemblies import random_assembly
from tomoseek.simulate.filaments import POLYMERS, STEP, add_filament, draw_path, draw_polymer
from tomoseek.simulate.membranes import Vesicle, add_vesicle, places_on, random_vesicle, random_wall
from tomoseek.simulate.placing import Room, add_particles, bounding_radius
from tomoseek.simulate.ranges import draw, draw_count
from tomoseek.simulate.symmetry import random_rotations

MEMBRANE_PROTEIN_KDA = (50.0, 600.0)
PROTEIN_KINDS = 6
MARKED = 64  # points of a bilayer that are remembered as clutter
CLEAR_ANGSTROM = 60.0  # of them from proteins in the bilayer

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Membranes:
    """How many bilayers, and proteins in each; pairs ``[low, high]``."""

    vesicles: list[int]
    radius_angstrom: list[float]
    walls: list[int]
    proteins: list[int]


def add_membranes(
    volume: Tensor, room: Room, membranes: Membranes, voxel_spacing: float, generator: torch.Generator
) -> tuple[Points, int]:
    """Paint vesicles and walls where nothing is yet, and proteins in them.

    Returns
    -------
    tuple
        ``(n, 3)`` Å: points on bare bilayers, where there are proteins in them or walls. And the number of proteins.
    """
    for _ in range(draw_count(membranes.vesicles, generator)):
        vesicle = random_vesicle(room.low, room.high, draw(membranes.radius_angstrom, generator), generator)
        _add(volume, room, [vesicle], voxel_spacing)
    if membranes.walls[1]:
        for _ in range(draw_count(membranes.walls, generator)):
            _add(volume, room, random_wall(room.low, room.high, generator), voxel_spacing)
    if not (membranes.walls[1] or membranes.proteins[1]):
        return np.zeros((0, 3)), 0
    kinds = [random_assembly(generator, voxel_spacing, MEMBRANE_PROTEIN_KDA) for _ in range(PROTEIN_KINDS)]
    clutter, count = [], 0
    for bilayer in room.vesicles:
        wanted = draw_count(membranes.proteins, generator)
        places = places_on(bilayer, room.low, room.high, wanted + MARKED, generator)
        inside, bare = places[:wanted], places[wanted:]
        chosen = torch.randint(PROTEIN_KINDS, (len(inside),), generator=generator)
        for number, density in enumerate(kinds):
            points = inside[chosen == number]
            add_particles(volume, density, points, random_rotations(len(points), generator), voxel_spacing)
            for point in points:
                room.occupy(point, bounding_radius(density, voxel_spacing))
        clear = torch.cdist(bare, inside).amin(1) > CLEAR_ANGSTROM if len(inside) else torch.ones(len(bare)).bool()
        clutter.append(bare[clear])
        count += len(inside)
    return (torch.cat(clutter).double().numpy() if clutter else np.zeros((0, 3))), count


def _add(volume: Tensor, room: Room, bilayers: list[Vesicle], voxel_spacing: float) -> None:
    if all(room.is_free_of(bilayer) for bilayer in bilayers):
        for bilayer in bilayers:
            room.vesicles.append(bilayer)
            add_vesicle(volume, bilayer, voxel_spacing)


def add_filaments(
    volume: Tensor, room: Room, count: list[int], voxel_spacing: float, generator: torch.Generator
) -> tuple[Points, int]:
    """Paint filaments where nothing is yet.

    Returns
    -------
    tuple
        ``(n, 3)`` Å: points on their axes, some 100 Å apart. And how many filaments there are.
    """
    if not count[1]:
        return np.zeros((0, 3)), 0
    clutter, placed = [], 0
    for _ in range(draw_count(count, generator)):
        kind = draw_polymer(generator)
        path = draw_path(kind, room.low, room.high, generator)
        radius = POLYMERS[kind].radius
        free = (torch.cdist(path, room.centres) > room.radii + radius).all()
        if len(path) < 3 or not free or not all(bool((v.distance_from(path) > radius).all()) for v in room.vesicles):
            continue
        add_filament(volume, kind, path, voxel_spacing)
        for point in path[:: max(1, int(radius / STEP))]:
            room.occupy(point, radius * 1.2)
        clutter.append(path[::5])
        placed += 1
    return (torch.cat(clutter).double().numpy() if clutter else np.zeros((0, 3))), placed
