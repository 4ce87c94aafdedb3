"""What an encoder has to beat in the lamella: blobs, templates and voxels, none of which has learned anything."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal import fftconvolve

from benchmarks.controls.template_matching import centred_grid, match_template
from benchmarks.reality.lamella import RADIUS, Lamella, Points
from tomoseek.geometry import angstrom_to_cells, points_to_indices

# Inner and outer width, in voxels of 31 Å.
BLOB_SIGMAS = ((1.2, 2.0), (1.5, 2.4), (2.0, 3.2), (2.5, 4.0), (3.0, 4.8))
TILT_RANGE = 60.0  # degrees; nobody states it
MASK_RADIUS = RADIUS + 30.0  # Å, in which template and tomogram are compared
PATCH_SIGMA = 20.0  # Å


def blobs(lamella: Lamella, sigmas: tuple[float, float]) -> Points:
    """Peaks ``(n, 3)`` of a difference of Gaussians, best first."""
    smooth, smoother = (ndimage.gaussian_filter(lamella.volume, sigma) for sigma in sigmas)
    return lamella.peaks(smooth - smoother)


def template_matches(lamella: Lamella, density: torch.Tensor, num_rotations: int, whiten: bool) -> Points:
    """Peaks ``(n, 3)`` of the highest correlation with a turned density ``(n, n, n)``, best first."""
    spacing = lamella.tomogram.voxel_spacing
    likeness = match_template(
        torch.from_numpy(lamella.volume), density, spacing, tilt_range_degree=TILT_RANGE, match_spacing=spacing,
        num_rotations=num_rotations, mask_radius=MASK_RADIUS, whiten=whiten,
    )  # fmt: skip
    return lamella.peaks(likeness.numpy())


def ball(radius: float, voxel_spacing: float) -> torch.Tensor:
    """Make a plain ball ``(n, n, n)`` of density 1, its edge one voxel wide."""
    half = int(np.ceil(angstrom_to_cells(radius, voxel_spacing))) + 2
    z, y, x = centred_grid((2 * half + 1,) * 3, [voxel_spacing] * 3, torch.device("cpu"))
    return ((radius - (z**2 + y**2 + x**2).sqrt()) / voxel_spacing + 0.5).clamp(0, 1)


def alike_voxels(lamella: Lamella, examples_xyz: Points) -> Points:
    """Peaks ``(n, 3)`` of the cosine of the smoothed voxels around with the mean of those around the examples."""
    spacing = lamella.tomogram.voxel_spacing
    smooth = ndimage.gaussian_filter(lamella.volume, angstrom_to_cells(PATCH_SIGMA, spacing))
    return lamella.peaks(cosine_of_patches(smooth, points_to_indices(examples_xyz, spacing), reach_of(spacing)))


def reach_of(voxel_spacing: float) -> int:
    """Return how many voxels a patch reaches from its middle one."""
    return round(angstrom_to_cells(RADIUS, voxel_spacing))


def cosine_of_patches(volume: NDArray[np.float32], indices_zyx: Points, reach: int) -> NDArray[np.float32]:
    """Compare the cube of voxels around each voxel with the mean of those around a few, each scaled to length 1.

    Parameters
    ----------
    volume
        ``(z, y, x)``; beyond it lies 0.
    indices_zyx
        ``(k, 3)`` fractional voxel indices of the few.
    reach
        Voxels from the middle of a cube to its faces.
    """
    width = 2 * reach + 1
    padded = np.pad(volume, reach)
    nearest = np.rint(indices_zyx).astype(np.int64)
    cubes = np.stack([padded[z : z + width, y : y + width, x : x + width] for z, y, x in nearest])
    lengths = np.sqrt(np.square(cubes).sum((1, 2, 3), keepdims=True))
    mean = (cubes / np.maximum(lengths, 1e-6)).mean(0)
    products = fftconvolve(padded, mean[::-1, ::-1, ::-1], mode="valid")
    squares = fftconvolve(np.square(padded), np.ones_like(mean), mode="valid")
    cosine = products / np.sqrt(np.maximum(squares, 1e-6)) / np.sqrt(np.square(mean).sum())
    return np.asarray(cosine, dtype=np.float32)
