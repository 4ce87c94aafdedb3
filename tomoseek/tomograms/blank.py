"""What of a volume was never measured: padding of one value, the corners that a turn leaves, NaN."""

import itertools
from collections import Counter, defaultdict
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Region = tuple[slice, slice, slice]
FloatVolume = NDArray[np.float32]

PATCH = 24  # voxels along the edge of what is looked at, on the corners, edges and faces, and in the middle
CORE = 5  # voxels along the edge of the least cube of one value that cannot be chance
NEAR = 0.25  # of the way from the end of the range to the middle of the values


class Readable(Protocol):
    """A volume that reads a region at a time."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    def read(self, region: Region | None = None) -> FloatVolume: ...


def find_blank_value(volume: Readable) -> float | None:
    """Return the value that blank parts of a volume are filled with; None where there are none.

    Looks at its corners, edges and faces and at its middle: where padding and the corners of a turned volume lie. The
    end of a range of values that was cut off is not blank, see `is_cut_off`.
    """
    counts: Counter[float] = Counter()
    beside: dict[float, list[NDArray[np.float32]]] = defaultdict(list)
    whole: set[float] = set()  # values that fill all that is looked at somewhere
    seen = []
    starts = [sorted({0, max(0, (n - PATCH) // 2), max(0, n - PATCH)}) for n in volume.shape]
    for z, y, x in itertools.product(*starts):
        values = volume.read((slice(z, z + PATCH), slice(y, y + PATCH), slice(x, x + PATCH)))
        finite = values[np.isfinite(values)]
        seen.append(finite)
        candidates, times = np.unique(finite, return_counts=True)
        for value in candidates[times >= CORE**3]:
            cubes = in_cubes(values == value)
            counts[float(value)] += int(cubes.sum())
            whole |= {float(value)} if cubes.all() else set()
            beside[float(value)].append(values[around(cubes) & np.isfinite(values)])
    everything = np.concatenate(seen)
    found = [
        (number, value)
        for value, number in counts.items()
        if number and (value in whole or not is_cut_off(value, np.concatenate(beside[value]), everything))
    ]
    return max(found)[1] if found else None


def is_cut_off(value: float, beside: FloatVolume, everything: FloatVolume) -> bool:
    """Tell the cores of dark or bright things, cut off where the range of a file ends, from what was never measured.

    Padding ends abruptly: beside it are all kinds of values. Beside what was cut off they come near to it.

    Parameters
    ----------
    value
        That many neighbours share.
    beside
        ``(n,)``: values next to those.
    everything
        ``(m,)``: values of the volume.
    """
    if not len(beside) or everything.min() < value < everything.max():
        return False
    others = everything[everything != np.float32(value)]
    return bool(abs(np.median(beside) - value) < NEAR * abs(np.median(others) - value))


def around(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what lies next to a mask, and not in it."""
    from scipy import ndimage

    return np.asarray(ndimage.binary_dilation(mask) & ~mask) if mask.any() else mask


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
