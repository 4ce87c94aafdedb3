"""Slabs of a tomogram to look at: thin enough to show one particle, thick enough to see it in the noise."""

import numpy as np
from numpy.typing import NDArray

from tomoseek.geometry import angstrom_to_cells, points_to_indices
from tomoseek.tomograms.tomogram import Tomogram

SLAB_ANGSTROM = 50.0


def read_slab(tomogram: Tomogram, centre_zyx: NDArray[np.int64], size_yx: tuple[int, int]) -> NDArray[np.float32]:
    """Mean over about 50 Å along z, centred on a voxel: ``(y, x)``, protein positive."""
    thickness = 2 * round((angstrom_to_cells(SLAB_ANGSTROM, tomogram.voxel_spacing) - 1) / 2) + 1
    size = np.array([thickness, *size_yx])
    return np.asarray(tomogram.crop(centre_zyx - size // 2, size).mean(axis=0))  # (y, x)


def window(tomogram: Tomogram, point_xyz: NDArray[np.float64], radius: float) -> NDArray[np.float32]:
    """Central slab of a particle and its surroundings: ``(y, x)``, 3.6 radii wide."""
    centre = np.rint(points_to_indices(point_xyz, tomogram.voxel_spacing)[0]).astype(np.int64)
    width = 2 * round(angstrom_to_cells(1.8 * radius, tomogram.voxel_spacing)) + 1
    return read_slab(tomogram, centre, (width, width))
