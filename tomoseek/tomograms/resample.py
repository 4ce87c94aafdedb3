"""A volume at another voxel spacing, computed where it is read: low-passed, never whole in memory."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tomoseek.geometry import is_familiar, is_same_spacing

if TYPE_CHECKING:
    from tomoseek.tomograms.tomogram import Tomogram

FloatVolume = NDArray[np.float32]

LOBES = 3  # of the windowed sinc, on each side
BLOCK = 128  # voxels along the edge of what is computed at once


def wanted_spacing(voxel_spacing: float, resample: str | float | None, known: float) -> float | None:
    """Return the Å per voxel that a volume is to be brought to; None: it stays as it is.

    Parameters
    ----------
    voxel_spacing
        Å per voxel that it has.
    resample
        As in ``data.resample``.
    known
        Å per voxel that the network learned at.
    """
    if resample is None or (resample == "auto" and is_familiar(voxel_spacing, known)):
        return None
    target = known if resample == "auto" else float(resample)
    return None if is_same_spacing(voxel_spacing, target) else target


class Resampled:
    """The voxels of a tomogram on a grid of another spacing with the same first voxel: points in Å stay where they are.

    Windowed-sinc interpolation (Lanczos, three lobes); to a coarser grid the lobes widen with it, which takes out
    what it cannot show (anti-aliasing). Blank voxels are the background's value before.

    Parameters
    ----------
    tomogram
        What is resampled.
    voxel_spacing
        Å per voxel wanted.

    References
    ----------
    Duchon, Lanczos filtering in one and two dimensions, 1979.
    """

    def __init__(self, tomogram: "Tomogram", voxel_spacing: float) -> None:
        self.tomogram = tomogram
        self.step = voxel_spacing / tomogram.voxel_spacing  # stored voxels from one voxel to the next
        # The last voxel is the one that holds the far side of the last stored voxel.
        self.shape = tuple(int(np.ceil((n - 0.5) / self.step + 0.5 - 1e-9)) for n in tomogram.shape)

    def __getitem__(self, region: tuple[slice, slice, slice]) -> FloatVolume:
        """Compute a region, block by block."""
        spans = [part.indices(n)[:2] for part, n in zip(region, self.shape, strict=True)]
        result = np.empty([max(0, high - low) for low, high in spans], dtype=np.float32)  # (z, y, x)
        for block in _blocks(spans):
            inside = tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(block, spans, strict=True))
            result[inside] = self._compute(block)
        return result

    def blank(self, region: tuple[slice, slice, slice]) -> NDArray[np.bool_]:
        """Tell which voxels of a region lie in blank ones of the stored volume."""
        nearest = [
            np.clip(np.rint(np.arange(*part.indices(size)[:2]) * self.step).astype(np.int64), 0, n - 1)
            for part, size, n in zip(region, self.shape, self.tomogram.shape, strict=True)
        ]
        z, y, x = (slice(int(at[0]), int(at[-1]) + 1) for at in nearest)
        stored = self.tomogram.blank((z, y, x))
        return stored[np.ix_(*(at - at[0] for at in nearest))]

    def _compute(self, block: list[tuple[int, int]]) -> FloatVolume:
        starts, weights = zip(
            *(lanczos(a, b, self.step, n) for (a, b), n in zip(block, self.tomogram.shape, strict=True)), strict=True
        )
        z, y, x = (slice(start, start + weight.shape[1]) for start, weight in zip(starts, weights, strict=True))
        values = self.tomogram.filled((z, y, x))
        along_z, along_y, along_x = weights
        values = np.tensordot(along_z, values, axes=1)  # z Y X
        return np.asarray(along_y @ values @ along_x.T, dtype=np.float32)  # z y x


def lanczos(first: int, last: int, step: float, length: int) -> tuple[int, FloatVolume]:
    """Return where along an axis to read, and the weights of what is read.

    Parameters
    ----------
    first, last
        Voxels wanted, the last exclusive.
    step
        Stored voxels from one of them to the next.
    length
        Stored voxels of the axis; beyond its ends the last value goes on.

    Returns
    -------
    The first stored voxel, and weights ``(last - first, n)`` of the n stored voxels from it on; each row adds up to 1.
    """
    width = max(1.0, step)
    centres = np.arange(first, last) * step
    reach = int(np.ceil(LOBES * width))
    near = np.floor(centres).astype(np.int64)[:, None] + np.arange(-reach, reach + 2)  # (last - first, taps)
    distance = (near - centres[:, None]) / width
    taps = np.where(np.abs(distance) < LOBES, np.sinc(distance) * np.sinc(distance / LOBES), 0.0)
    taps /= taps.sum(1, keepdims=True)
    near = np.clip(near, 0, length - 1)
    start = int(near.min())
    weights = np.zeros((last - first, int(near.max()) - start + 1))
    np.add.at(weights, (np.arange(last - first)[:, None], near - start), taps)
    return start, weights.astype(np.float32)


def _blocks(spans: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Cut a region into blocks of at most `BLOCK` voxels a side."""
    for z in range(*spans[0], BLOCK):
        for y in range(*spans[1], BLOCK):
            for x in range(*spans[2], BLOCK):
                yield [(a, min(a + BLOCK, high)) for a, (_, high) in zip((z, y, x), spans, strict=True)]
