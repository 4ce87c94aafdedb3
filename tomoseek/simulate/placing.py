"""Put particles into a volume: where there is room, and turned copies of their density.

m particles or candidates
"""

import torch
from torch import Tensor

from tomoseek.geometry import points_to_indices
from tomoseek.simulate.membranes import Vesicle

_CANDIDATES = 64
_ROUNDS = 8
_BATCH = 32


class Room:
    """What is taken already, as spheres and shells, inside a slab."""

    def __init__(self, low_xyz: Tensor, high_xyz: Tensor, gap: float) -> None:
        self.low, self.high, self.gap = low_xyz, high_xyz, gap
        self.centres = torch.zeros(0, 3)
        self.radii = torch.zeros(0)
        self.vesicles: list[Vesicle] = []

    def occupy(self, centre_xyz: Tensor, radius: float) -> None:
        """Take a sphere."""
        self.centres = torch.cat([self.centres, centre_xyz[None]])
        self.radii = torch.cat([self.radii, torch.tensor([radius])])

    def find_place(self, radius: float, generator: torch.Generator) -> Tensor | None:
        """Take a free sphere wholly inside the slab and return its centre, None when none was found."""
        low, high = self.low + radius, self.high - radius
        if bool((low > high).any()):
            return None
        for _ in range(_ROUNDS):
            candidates = low + (high - low) * torch.rand(_CANDIDATES, 3, generator=generator)  # (m, 3)
            free = (torch.cdist(candidates, self.centres) > self.radii + radius + self.gap).all(1)
            for vesicle in self.vesicles:
                free &= vesicle.distance_from(candidates) > radius + self.gap
            if bool(free.any()):
                place = candidates[int(free.int().argmax())]
                self.occupy(place, radius)
                return place
        return None

    def is_free_of(self, vesicle: Vesicle) -> bool:
        """Say whether a bilayer touches nothing taken so far."""
        return bool((vesicle.distance_from(self.centres) > self.radii + self.gap).all())


def bounding_radius(density: Tensor, voxel_spacing: float) -> float:
    """Radius in Å, from the central voxel, that holds every voxel above a fifth of the maximum."""
    half = density.shape[0] // 2
    solid = (density > 0.2 * density.max()).nonzero() - half
    return (float(solid.float().norm(dim=1).max()) + 0.5) * voxel_spacing


def turned_copies(density: Tensor, rotations: Tensor, rest_xyz: Tensor | None = None) -> Tensor:
    """Turn a density ``(n, n, n)`` by each of ``(m, 3, 3)`` rotations: ``(m, n, n, n)``.

    Parameters
    ----------
    density
        n odd.
    rotations
        From the density's axes to the turned ones, x y z.
    rest_xyz
        ``(m, 3)`` voxels by which the centre of each copy lies off the central voxel; None: not at all.
    """
    half = density.shape[0] // 2
    steps = torch.arange(-half, half + 1, dtype=torch.float32, device=density.device)
    z, y, x = torch.meshgrid(steps, steps, steps, indexing="ij")
    away = torch.stack([x, y, z], -1).expand(len(rotations), -1, -1, -1, -1)  # (m, n, n, n, 3)
    if rest_xyz is not None:
        away = away - rest_xyz[:, None, None, None]
    # Row vectors times R: the inverse rotation, from the tomogram back into the density.
    grid = torch.einsum("mzyxi,mij->mzyxj", away, rotations) / half
    source = density[None, None].expand(len(grid), -1, -1, -1, -1)
    return torch.nn.functional.grid_sample(source, grid, align_corners=True)[:, 0]


def add_particles(volume: Tensor, density: Tensor, points_xyz: Tensor, rotations: Tensor, voxel_spacing: float) -> None:
    """Add turned copies of a density to a volume, centred at sub-voxel places; parts outside are cut off.

    Parameters
    ----------
    volume
        ``(z, y, x)``, changed in place.
    density
        ``(n, n, n)``, n odd.
    points_xyz, rotations
        ``(m, 3)`` Å and ``(m, 3, 3)``.
    voxel_spacing
        Å.
    """
    if len(points_xyz) == 0:
        return
    size = density.shape[0]
    half = size // 2
    index_zyx = torch.as_tensor(points_to_indices(points_xyz.numpy(), voxel_spacing)).float()  # (m, 3)
    nearest = index_zyx.round()
    rest_xyz = (index_zyx - nearest).flip(1).to(volume.device)
    source = density.to(volume.device)
    for first in range(0, len(points_xyz), _BATCH):
        batch = slice(first, first + _BATCH)
        copies = turned_copies(source, rotations[batch].to(volume.device), rest_xyz[batch])
        for copy, corner in zip(copies, (nearest[batch] - half).long().tolist(), strict=True):
            inside = [slice(max(0, -c), min(size, n - c)) for c, n in zip(corner, volume.shape, strict=True)]
            if any(cut.start >= cut.stop for cut in inside):
                continue
            target = tuple(slice(c + cut.start, c + cut.stop) for c, cut in zip(corner, inside, strict=True))
            volume[target] += copy[tuple(inside)]
