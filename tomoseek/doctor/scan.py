"""One pass over a whole volume: damaged, blank and outlying voxels are counted, and a small copy is made.

The volume is read block by block, so memory stays bounded whatever its size.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomoseek.geometry import FloatArray, points_to_indices, voxel_to_cell
from tomoseek.tomograms.binning import binned
from tomoseek.tomograms.blank import FloatVolume, Region, blank_voxels
from tomoseek.tomograms.normalise import Contrast
from tomoseek.tomograms.tomogram import Tomogram

BLOCK = 64  # voxels; a multiple of every factor that the small copy is binned by, and of the chunks of most files
BLOCK_VOXELS = 2**24
COPY_VOXELS = 2**24
FAR_OUT = 20.0  # spreads from the background: farther than any density of ice, protein or membrane
LONELY = 3  # of the 27 voxels about a hot one so many at most are far out; a gold bead fills them


@dataclass(slots=True)
class Scan:
    """What was counted in a volume.

    Parameters
    ----------
    shape
        Voxels z y x.
    num_bad
        Voxels that are NaN or infinite; ``first_bad`` is the first of them, z y x.
    num_blank
        Voxels of padding and of corners that were left empty.
    num_lonely, num_clumped
        Voxels farther than 20 spreads from the background: single ones, and those of something (gold, ice).
    lowest, highest
        Least and greatest value, and in ``num_lowest`` and ``num_highest`` how many voxels have it, blank ones left
        out.
    small
        ``(z, y, x)`` normalised copy, protein positive, binned by ``factor``; what is blank or damaged is 0.
    """

    shape: tuple[int, int, int]
    voxel_spacing: float
    factor: int
    small: NDArray[np.float32]
    num_bad: int = 0
    first_bad: tuple[int, int, int] | None = None
    num_blank: int = 0
    num_lonely: int = 0
    num_clumped: int = 0
    lowest: float = np.inf
    highest: float = -np.inf
    num_lowest: int = 0
    num_highest: int = 0
    occupied: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))

    @property
    def num_voxels(self) -> int:
        """All voxels of the volume."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def small_spacing(self) -> float:
        """Å per voxel of the small copy."""
        return self.voxel_spacing * self.factor

    def cells(self, points_xyz: FloatArray) -> FloatArray:
        """Turn points (x y z, Å) into fractional voxels z y x of the small copy."""
        return voxel_to_cell(points_to_indices(points_xyz, self.voxel_spacing), self.factor)


def scan_volume(tomogram: Tomogram, contrast: Contrast) -> Scan:
    """Read every voxel once.

    Parameters
    ----------
    tomogram
        Any size; a block of at most 16 million voxels is in memory at a time, and the small copy of as many.
    contrast
        Of the tomogram: what counts as far from the background.

    Raises
    ------
    InputError
        When the file is damaged.
    """
    factor = 1
    while np.prod(tomogram.shape, dtype=np.int64) / factor**3 > COPY_VOXELS:
        factor *= 2
    small = np.zeros([-(-n // factor) for n in tomogram.shape], dtype=np.float32)
    scan = Scan(tomogram.shape, tomogram.voxel_spacing, factor, small)
    scan.occupied = np.zeros(small.shape, dtype=bool)
    for region in blocks(tomogram.shape):
        values = tomogram.read(region)
        blank = _count(scan, values, tomogram.blank_value, region, contrast)
        normalised = contrast.apply(np.where(blank, np.float32(contrast.centre), values))
        cells = tuple(slice(part.start // factor, -(-part.stop // factor)) for part in region)
        small[cells] = binned(normalised, factor)
        scan.occupied[cells] = binned((~blank).astype(np.float32), factor) > 0.5
    return scan


def blocks(shape: tuple[int, int, int]) -> Iterator[Region]:
    """Cut a volume into blocks that begin at multiples of 64 voxels, whole rows in each."""
    _, ny, nx = shape
    height = max(BLOCK, BLOCK_VOXELS // (BLOCK * nx) // BLOCK * BLOCK)
    for z, y in itertools.product(range(0, shape[0], BLOCK), range(0, ny, height)):
        yield slice(z, min(z + BLOCK, shape[0])), slice(y, min(y + height, ny)), slice(0, nx)


def _count(
    scan: Scan, values: FloatVolume, blank_value: float | None, region: Region, contrast: Contrast
) -> NDArray[np.bool_]:
    """Add a block to the counts; tell which of its voxels are blank or damaged."""
    blank = blank_voxels(values, blank_value)
    num_bad = 0
    if not np.isfinite(values.sum(dtype=np.float64)):
        bad = ~np.isfinite(values)
        num_bad = int(bad.sum())
        if scan.first_bad is None and num_bad:
            z, y, x = np.argwhere(bad)[0] + [part.start for part in region]
            scan.first_bad = (int(z), int(y), int(x))
    scan.num_bad += num_bad
    scan.num_blank += int(blank.sum()) - num_bad
    kept = values[~blank] if blank.any() else values
    if not kept.size:
        return blank
    low, high = float(kept.min()), float(kept.max())
    if low <= scan.lowest:
        scan.num_lowest = int((kept == low).sum()) + (scan.num_lowest if low == scan.lowest else 0)
        scan.lowest = low
    if high >= scan.highest:
        scan.num_highest = int((kept == high).sum()) + (scan.num_highest if high == scan.highest else 0)
        scan.highest = high
    reach = FAR_OUT * contrast.scale
    if low < contrast.centre - reach or high > contrast.centre + reach:
        far = (np.abs(values - np.float32(contrast.centre)) > reach) & ~blank
        near = ndimage.convolve(far.astype(np.uint8), np.ones((3, 3, 3), np.uint8), mode="constant")
        lonely = far & (near <= LONELY)
        scan.num_lonely += int(lonely.sum())
        scan.num_clumped += int((far & ~lonely).sum())
    return blank
