"""Complexes as soft ellipsoidal domains: symmetric copies, and rasterising to density.

Density is in units of protein: 1 inside a protein domain, 0 in ice. A dalton of protein fills 1.21 Å³
(0.73 cm³/g), so that the integral of a density tells its mass.

n domains, k offsets inside a domain's window
"""

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

CUBIC_ANGSTROM_PER_KDA = 1210.0


@dataclass(frozen=True, slots=True)
class Domains:
    """Ellipsoids in the frame of a complex.

    Attributes
    ----------
    centres_xyz
        ``(n, 3)`` Å.
    semi_axes
        ``(n, 3)`` Å, along the columns of ``frames``.
    frames
        ``(n, 3, 3)`` rotations from each ellipsoid's own axes to the complex.
    density
        ``(n,)``, 1 for protein; RNA scatters more and is denser.
    """

    centres_xyz: Tensor
    semi_axes: Tensor
    frames: Tensor
    density: Tensor

    def __add__(self, other: "Domains") -> "Domains":
        return Domains(
            torch.cat([self.centres_xyz, other.centres_xyz]),
            torch.cat([self.semi_axes, other.semi_axes]),
            torch.cat([self.frames, other.frames]),
            torch.cat([self.density, other.density]),
        )

    def repeated(self, rotations: Tensor) -> "Domains":
        """Return one copy of all domains for each of the ``(m, 3, 3)`` rotations about the origin."""
        num_copies = len(rotations)
        return Domains(
            rearrange(torch.einsum("mij,nj->mni", rotations, self.centres_xyz), "m n i -> (m n) i"),
            self.semi_axes.repeat(num_copies, 1),
            rearrange(torch.einsum("mij,njk->mnik", rotations, self.frames), "m n i k -> (m n) i k"),
            self.density.repeat(num_copies),
        )


def domain(
    mass_kda: float,
    centre_xyz: tuple[float, float, float],
    ratio: tuple[float, float, float] = (1.0, 1.0, 1.0),
    radial: bool = False,
    density: float = 1.0,
) -> Domains:
    """Return one ellipsoid of a given mass.

    Parameters
    ----------
    mass_kda
        Mass; with ``density`` it fixes the volume.
    centre_xyz
        Å from the centre of the complex.
    ratio
        Proportions of the three semi-axes, along x y z, or, if ``radial``, along the radius from the origin,
        around the z axis, and across both.
    radial
        Turn the ellipsoid with its position, as subunits of shells and rings are.
    density
        1 for protein; more for RNA, which fills less volume per dalton: its mass comes out right as well.
    """
    volume = mass_kda * CUBIC_ANGSTROM_PER_KDA / density
    scale = (volume / (4 / 3 * math.pi * math.prod(ratio))) ** (1 / 3)
    centre = torch.tensor(centre_xyz, dtype=torch.float32)
    frame = radial_frame(centre) if radial else torch.eye(3)
    semi_axes = scale * torch.tensor(ratio, dtype=torch.float32)
    return Domains(centre[None], semi_axes[None], frame[None], torch.tensor([float(density)]))


def radial_frame(position_xyz: Tensor) -> Tensor:
    """Return the ``(3, 3)`` rotation whose columns are outwards, around z, and across both."""
    outwards = torch.nn.functional.normalize(position_xyz, dim=0)
    around = torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]), outwards)
    if float(around.norm()) < 1e-4:
        around = torch.tensor([0.0, 1.0, 0.0])
    around = torch.nn.functional.normalize(around, dim=0)
    return torch.stack([outwards, around, torch.linalg.cross(outwards, around)], 1)


def rasterise(domains: Domains, voxel_spacing: float) -> Tensor:
    """Paint domains into the smallest odd cube, the origin at its central voxel.

    Each domain adds exactly its own mass, however coarse the grid; edges are soft over half a voxel, so that
    the density holds little beyond the Nyquist frequency.

    Returns
    -------
    Tensor
        ``(n, n, n)`` float32, z y x.
    """
    edge = 2.0 + 0.3 * voxel_spacing
    extent = (domains.centres_xyz.norm(dim=1) + domains.semi_axes.amax(1)).max()
    reach = int((float(extent) + 3 * edge) / voxel_spacing) + 1
    size = 2 * reach + 1
    window = int((float(domains.semi_axes.max()) + 3 * edge) / voxel_spacing) + 1
    steps = torch.arange(-window, window + 1)
    offsets_xyz = torch.cartesian_prod(steps, steps, steps)  # (k, 3)
    nearest = (domains.centres_xyz / voxel_spacing).round().long()  # (n, 3)
    voxels_xyz = nearest[:, None] + offsets_xyz  # (n, k, 3)
    away = voxels_xyz * voxel_spacing - domains.centres_xyz[:, None]
    own = torch.einsum("nij,nki->nkj", domains.frames, away) / domains.semi_axes[:, None]  # (n, k, 3)
    mean_radius = domains.semi_axes.log().mean(1).exp()  # (n,)
    depth = (1 - own.norm(dim=2)) * mean_radius[:, None]  # (n, k)
    values = torch.sigmoid(depth / edge * 2)
    total = domains.density * 4 / 3 * math.pi * mean_radius**3 / voxel_spacing**3
    values = values * (total / values.sum(1))[:, None]
    index_xyz = voxels_xyz + reach
    inside = ((index_xyz >= 0) & (index_xyz < size)).all(2)
    flat = (index_xyz[..., 2] * size + index_xyz[..., 1]) * size + index_xyz[..., 0]
    volume = torch.zeros(size**3)
    volume.index_add_(0, flat[inside], values[inside])
    return centred(volume.reshape(size, size, size))


def centred(density: Tensor, step: float = 1.0) -> Tensor:
    """Crop empty margins and resample, so that the centre of mass is the central voxel.

    Parameters
    ----------
    density
        ``(z, y, x)``, any size.
    step
        Voxels of ``density`` per voxel returned.

    Returns
    -------
    Tensor
        ``(n, n, n)``, n odd.
    """
    weight = density.clamp_min(0)
    grids = torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in density.shape], indexing="ij")
    centre = [float((weight * grid).sum() / weight.sum()) for grid in grids]
    distance = max(
        float((grid[weight > 0.02 * weight.max()] - middle).abs().max())
        for grid, middle in zip(grids, centre, strict=True)
    )
    half = int(distance / step) + 2
    steps = torch.arange(-half, half + 1, dtype=torch.float32) * step
    # Linear interpolation moves the centre of mass exactly by the shift.
    axes = [(steps + middle) * 2 / (n - 1) - 1 for middle, n in zip(centre, density.shape, strict=True)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack([x, y, z], -1)[None]  # (1, n, n, n, 3)
    moved = torch.nn.functional.grid_sample(density[None, None], grid, align_corners=True)  # (1, 1, n, n, n)
    return moved[0, 0]


def mass_kda(density: Tensor, voxel_spacing: float) -> float:
    """Return the mass of protein that a density amounts to."""
    return float(density.sum()) * voxel_spacing**3 / CUBIC_ANGSTROM_PER_KDA
