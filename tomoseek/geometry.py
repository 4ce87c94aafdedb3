"""Physical points (x y z, Å) to voxel indices (z y x) and back: the only place where the two meet.

The centre of voxel (0, 0, 0) is the origin: index ``i`` along an axis lies at ``i * voxel_spacing`` Å. A
feature cell at stride ``s`` covers voxels ``s * i`` to ``s * i + s - 1``, so its centre lies half a cell
further in than its first voxel. See ``docs/coordinates.md``.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

# Relative differences of voxel spacings. Folders of copick are named to a thousandth of an Å, yet a challenge project
# says 10.000 where the file says 10.012. To a network a particle may look a tenth larger or smaller than it knows it.
SAME_SPACING, FAMILIAR_SPACING = 0.01, 0.1
COARSEST = 1.6  # times the spacing a network learned at; what is coarser lacks detail, however it is resampled


def points_to_indices(points_xyz: ArrayLike, voxel_spacing: float) -> FloatArray:
    """Turn points into fractional voxel indices.

    Parameters
    ----------
    points_xyz
        ``(n, 3)`` x y z in Å, as copick stores them.
    voxel_spacing
        Å per voxel.

    Returns
    -------
    ``(n, 3)`` fractional indices z y x.
    """
    points = np.asarray(points_xyz, dtype=np.float64).reshape(-1, 3)  # (n, 3) x y z
    return np.ascontiguousarray(points[:, ::-1]) / voxel_spacing  # (n, 3) z y x


def indices_to_points(indices_zyx: ArrayLike, voxel_spacing: float) -> FloatArray:
    """Turn fractional voxel indices into points; the inverse of `points_to_indices`.

    Parameters
    ----------
    indices_zyx
        ``(n, 3)`` fractional indices z y x.
    voxel_spacing
        Å per voxel.

    Returns
    -------
    ``(n, 3)`` x y z in Å.
    """
    indices = np.asarray(indices_zyx, dtype=np.float64).reshape(-1, 3)  # (n, 3) z y x
    return np.ascontiguousarray(indices[:, ::-1]) * voxel_spacing  # (n, 3) x y z


def clip_inside(points_xyz: ArrayLike, shape_zyx: tuple[int, ...], voxel_spacing: float) -> FloatArray:
    """Move ``(n, 3)`` points x y z in Å that lie beyond the centre of a volume's first or last voxel there.

    The last cell of an axis, and the last voxel of a resampled volume, may lie half outside.
    """
    last = indices_to_points(np.array(shape_zyx) - 1, voxel_spacing)
    return np.clip(np.asarray(points_xyz, dtype=np.float64).reshape(-1, 3), 0, last)


def voxels_to_points(voxels_xyz: ArrayLike, voxel_spacing: float, pixel_size: float | None = None) -> FloatArray:
    """Turn coordinates that count voxels, 0 at the centre of the first, into points.

    Parameters
    ----------
    voxels_xyz
        ``(n, 3)`` x y z in voxels.
    voxel_spacing
        Å per voxel of the tomogram.
    pixel_size
        Å per voxel of the volume they were made in, a binned one for instance, whose corner lies where the
        tomogram's does; None is the tomogram itself.

    Returns
    -------
    ``(n, 3)`` x y z in Å.
    """
    voxels = np.asarray(voxels_xyz, dtype=np.float64).reshape(-1, 3)  # (n, 3) x y z
    pixel = pixel_size or voxel_spacing
    return voxels * pixel + (pixel - voxel_spacing) / 2


def points_to_voxels(points_xyz: ArrayLike, voxel_spacing: float, pixel_size: float | None = None) -> FloatArray:
    """Turn points into coordinates that count voxels; the inverse of `voxels_to_points`."""
    points = np.asarray(points_xyz, dtype=np.float64).reshape(-1, 3)  # (n, 3) x y z
    pixel = pixel_size or voxel_spacing
    return (points - (pixel - voxel_spacing) / 2) / pixel


def cell_to_voxel(cells_zyx: ArrayLike, stride: int) -> FloatArray:
    """Turn fractional feature-cell indices at ``stride`` into fractional voxel indices of the same axes."""
    return np.asarray(cells_zyx, dtype=np.float64) * stride + (stride - 1) / 2


def voxel_to_cell(indices_zyx: ArrayLike, stride: int) -> FloatArray:
    """Turn fractional voxel indices into fractional feature-cell indices; the inverse of `cell_to_voxel`."""
    return (np.asarray(indices_zyx, dtype=np.float64) - (stride - 1) / 2) / stride


def angstrom_to_cells(length_angstrom: float, voxel_spacing: float, stride: int = 1) -> float:
    """Turn a length in Å into one in cells of ``stride`` voxels; in voxels, where none is given."""
    return length_angstrom / voxel_spacing / stride


def is_same_spacing(voxel_spacing: float, other: float) -> bool:
    """Tell whether two voxel spacings are one, written down with different care."""
    return abs(voxel_spacing / other - 1) <= SAME_SPACING


def is_familiar(voxel_spacing: float, known: float) -> bool:
    """Tell whether a network that learned at ``known`` Å per voxel may be trusted at another spacing."""
    return abs(voxel_spacing / known - 1) <= FAMILIAR_SPACING


def order_xyz(values_zyx: ArrayLike) -> FloatArray:
    """Turn three values along z, y, x, such as the sides of a voxel, into those along x, y, z."""
    return np.ascontiguousarray(np.asarray(values_zyx, dtype=np.float64)[::-1])


def lacks_detail(voxel_spacing: float, known: float) -> bool:
    """Tell whether voxels of a file are too coarse for a network that learned at ``known`` Å, even resampled."""
    return voxel_spacing > COARSEST * known
