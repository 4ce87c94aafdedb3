"""What of a volume was never measured: padding of one value, the corners that a turn leaves, NaN."""

import itertools
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Region = tuple[slice, slice, slice]
FloatVolume = NDArray[np.float32]

PATCH = 24  # voxels along the edge of what is looked at, on the corners, edges and faces, and in the middle
CORE = 5  # voxels along the edge of the least cube of one value that cannot be chance


class Readable(Protocol):
    """A volume that reads a region at a time."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    def read(self, region: Region | None = None) -> FloatVolume: ...


def find_blank_value(volume: Readable) -> float | None:
    """Return the value that blank parts of a volume are filled with; None where there are none.

    Looks at its corners, edges and faces and at its middle: where padding and the corners of a turned volume lie.
    """
    counts: dict[float, int] = {}
    starts = [sorted({0, max(0, (n - PATCH) // 2), max(0, n - PATCH)}) for n in volume.shape]
    for z, y, x in itertools.product(*starts):
        values = volume.read((slice(z, z + PATCH), slice(y, y + PATCH), slice(x, x + PATCH)))
        candidates, times = np.unique(values[np.isfinite(values)], return_counts=True)
        for value in candidates[times >= CORE**3]:
            if num_blank := int(in_cubes(values == value).sum()):
                counts[float(value)] = counts.get(float(value), 0) + num_blank
    return max(counts, key=lambda value: counts[value]) if counts else None


def blank_voxels(values: FloatVolume, blank_value: float | None) -> NDArray[np.bool_]:
    """Tell which voxels ``(z, y, x)`` are NaN, infinite, or lie in a cube of the blank value."""
    blank = ~np.isfinite(values)
    if blank_value is not None:
        same = values == np.float32(blank_value)
        if same.sum() >= CORE**3 or 0 < same.sum() == same.size:
            blank |= in_cubes(same)
    return blank


def in_cubes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep what of a mask lies in cubes of `CORE` voxels that are all in it; what is beyond its faces counts as in it.

    A voxel of the fill value by chance is not blank: in a volume of bytes there are many.
    """
    from scipy import ndimage  # slow to import, and most volumes have nothing blank

    size = tuple(min(CORE, n) for n in mask.shape)
    cores = ndimage.minimum_filter(mask.view(np.uint8), size, mode="constant", cval=1)
    return np.asarray(ndimage.maximum_filter(cores, size, mode="constant", cval=0), dtype=bool) & mask
