"""Distractors: vesicles and organelle walls with proteins in their bilayers, and gold beads."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Phosphate planes of a bilayer lie some 40 Å apart; the tails between them scatter little more than ice.
LEAFLET_DISTANCE = 40.0
LEAFLET_WIDTH = 7.0
HEADGROUP_DENSITY = 1.1
TAIL_DENSITY = 0.25
# Gold lies some 25 V above ice against 3.6 V for protein, and absorbs besides.
GOLD_DENSITY = 8.0


@dataclass(frozen=True, slots=True)
class Vesicle:
    """An ellipsoidal bilayer: centre and semi-axes in Å x y z, turned about z."""

    centre_xyz: Tensor
    semi_axes: Tensor
    turn: Tensor

    def shell_distance(self, points_xyz: Tensor) -> Tensor:
        """Signed distance in Å of ``(..., 3)`` points from the middle of the bilayer, to first order."""
        own = (points_xyz - self.centre_xyz) @ self.turn
        scaled = own / self.semi_axes
        radius = scaled.norm(dim=-1).clamp_min(1e-3)
        slope = (scaled / self.semi_axes).norm(dim=-1).clamp_min(1e-6) / radius
        distance: Tensor = (radius - 1) / slope
        return distance

    def distance_from(self, points_xyz: Tensor) -> Tensor:
        """Distance in Å of ``(m, 3)`` points from the surface of the bilayer, never overestimated."""
        own = (points_xyz - self.centre_xyz) @ self.turn / self.semi_axes
        # Outside, a convex surface is at least as far as its first-order distance; inside, the scaled radius
        # changes by at most one per shortest semi-axis.
        inside = (1 - own.norm(dim=-1)) * self.semi_axes.min()
        middle = torch.where(inside > 0, inside, self.shell_distance(points_xyz))
        return middle - LEAFLET_DISTANCE / 2 - 2 * LEAFLET_WIDTH


def random_vesicle(low_xyz: Tensor, high_xyz: Tensor, radius: float, generator: torch.Generator) -> Vesicle:
    """Draw a vesicle in the slab, flattened when the slab is thinner than it; sides may leave the field."""
    stretch = 0.85 + 0.3 * torch.rand(3, generator=generator)
    semi_axes = radius * stretch
    room = float(high_xyz[2] - low_xyz[2]) / 2 - LEAFLET_DISTANCE
    semi_axes[2] = min(float(semi_axes[2]), max(room, 60.0))
    centre = low_xyz + (high_xyz - low_xyz) * torch.rand(3, generator=generator)
    middle, slack = float(low_xyz[2] + high_xyz[2]) / 2, max(0.0, room - float(semi_axes[2]))
    centre[2] = middle + slack * (2 * float(torch.rand((), generator=generator)) - 1)
    angle = 2 * math.pi * float(torch.rand((), generator=generator))
    cos, sin = math.cos(angle), math.sin(angle)
    return Vesicle(centre, semi_axes, torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]))


def random_wall(low_xyz: Tensor, high_xyz: Tensor, generator: torch.Generator) -> list[Vesicle]:
    """Draw a piece of an organelle's membrane that crosses the field: one bilayer, or two as around mitochondria.

    It is a sphere far larger than the field, cut where the field ends. Two bilayers lie 150 to 300 Å apart.
    """
    radius = 3000.0 + 9000.0 * float(torch.rand((), generator=generator))
    through = low_xyz + (high_xyz - low_xyz) * torch.rand(3, generator=generator)
    angle = 2 * math.pi * float(torch.rand((), generator=generator))
    rise = 0.3 * (2 * float(torch.rand((), generator=generator)) - 1)  # walls along the slab hide in the missing wedge
    towards = torch.tensor([math.cos(angle), math.sin(angle), rise])
    centre = through + radius * towards / towards.norm()
    apart = 150.0 + 150.0 * float(torch.rand((), generator=generator))
    radii = [radius, radius - apart] if float(torch.rand((), generator=generator)) < 0.5 else [radius]
    return [Vesicle(centre, torch.full((3,), each), torch.eye(3)) for each in radii]


def places_on(vesicle: Vesicle, low_xyz: Tensor, high_xyz: Tensor, wanted: int, generator: torch.Generator) -> Tensor:
    """Draw up to ``wanted`` points ``(n, 3)`` Å in the middle of a bilayer, inside a box.

    Points of the box are moved onto the surface along its steepest descent, which is exact enough for spheres.
    """
    points = low_xyz + (high_xyz - low_xyz) * torch.rand(20 * wanted, 3, generator=generator)
    near = vesicle.shell_distance(points).abs() < 300.0
    points = points[near]
    for _ in range(3):
        own = (points - vesicle.centre_xyz) @ vesicle.turn
        slope = own / vesicle.semi_axes**2
        normal = slope / slope.norm(dim=1, keepdim=True).clamp_min(1e-12) @ vesicle.turn.T
        points = points - vesicle.shell_distance(points)[:, None] * normal
    inside = ((points >= low_xyz) & (points <= high_xyz)).all(1)
    return points[inside][:wanted]


def add_vesicle(volume: Tensor, vesicle: Vesicle, voxel_spacing: float) -> None:
    """Paint a bilayer into a ``(z, y, x)`` volume."""
    margin = LEAFLET_DISTANCE + voxel_spacing
    reach = vesicle.semi_axes.clone()
    reach[:2] = vesicle.semi_axes[:2].max()
    window, points = _window(volume, vesicle.centre_xyz, reach + margin, voxel_spacing)
    distance = vesicle.shell_distance(points)
    # Blurred by the voxel, so that thin leaflets keep their amount whatever the grid.
    width = math.hypot(LEAFLET_WIDTH, 0.4 * voxel_spacing)
    amount = LEAFLET_WIDTH / width
    leaflets = sum(torch.exp(-0.5 * ((distance - s * LEAFLET_DISTANCE / 2) / width) ** 2) for s in (-1, 1))
    tails = torch.sigmoid((LEAFLET_DISTANCE / 2 - distance.abs()) / (0.3 * voxel_spacing))
    volume[window] += (HEADGROUP_DENSITY * amount * leaflets + TAIL_DENSITY * tails).to(volume.device)


def add_gold_bead(volume: Tensor, centre_xyz: Tensor, radius: float, voxel_spacing: float) -> None:
    """Paint a solid gold sphere into a ``(z, y, x)`` volume."""
    reach = torch.full((3,), radius + 2 * voxel_spacing)
    window, points = _window(volume, centre_xyz, reach, voxel_spacing)
    depth = radius - (points - centre_xyz).norm(dim=-1)
    volume[window] += GOLD_DENSITY * torch.sigmoid(depth / (0.3 * voxel_spacing)).to(volume.device)


def _window(
    volume: Tensor, centre_xyz: Tensor, reach_xyz: Tensor, voxel_spacing: float
) -> tuple[tuple[slice, slice, slice], Tensor]:
    """Return the part of the volume within reach, and its voxels' ``(z, y, x, 3)`` points x y z in Å."""
    low = ((centre_xyz - reach_xyz) / voxel_spacing).floor().long().flip(0).tolist()
    high = ((centre_xyz + reach_xyz) / voxel_spacing).ceil().long().flip(0).tolist()
    z, y, x = (
        slice(max(0, min(n, first)), max(0, min(n, last + 1)))
        for first, last, n in zip(low, high, volume.shape, strict=True)
    )
    steps = [torch.arange(cut.start, cut.stop) * voxel_spacing for cut in (z, y, x)]
    grids = torch.meshgrid(*steps, indexing="ij")
    return (z, y, x), torch.stack(grids[::-1], -1)
