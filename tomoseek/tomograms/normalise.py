"""Contrast normalisation that outliers cannot move: median and percentile scale from a few sampled blocks.

Networks always see protein positive and background at zero, so the polarity of the file is stated, not
guessed; `tomoseek.tomograms.polarity` only lets commands warn.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tomoseek.config import Polarity
from tomoseek.errors import InputError
from tomoseek.network.expected_input import CLIP

BLOCK_SIZE = 32
NUM_BLOCKS = 32

FloatVolume = NDArray[np.float32]
Region = tuple[slice, slice, slice]


class Readable(Protocol):
    """What contrast is measured on: a volume that reads a region at a time."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    def read(self, region: Region | None = None) -> FloatVolume: ...


@dataclass(frozen=True, slots=True)
class Contrast:
    """The affine map from stored values to normalised ones.

    Parameters
    ----------
    centre
        Stored value of the background; becomes 0.
    scale
        Robust standard deviation of the stored values; becomes 1.
    sign
        -1 where protein is dark in the file, +1 where it is bright.
    """

    centre: float
    scale: float
    sign: float

    def apply(self, volume: NDArray[Any]) -> FloatVolume:
        """Normalise stored values: protein positive, background 0, clipped to ±8 robust standard deviations.

        Raises
        ------
        InputError
            When ``volume`` holds NaN or infinite values.
        """
        normalised = (np.asarray(volume, dtype=np.float32) - np.float32(self.centre)) * np.float32(
            self.sign / self.scale
        )
        # One sum sees every NaN and infinity, at a tenth of the cost of testing each voxel.
        if normalised.size and not np.isfinite(normalised.sum(dtype=np.float64)):
            num_bad = int((~np.isfinite(normalised)).sum())
            raise InputError(
                f"expected finite values in the tomogram, found {num_bad} NaN or infinite voxels in a "
                f"region of {normalised.shape}: replace them (for instance by the mean) and write the "
                "tomogram again"
            )
        return np.clip(normalised, -CLIP, CLIP, out=normalised)


def measure_contrast(volume: Readable, polarity: Polarity, seed: int = 0) -> Contrast:
    """Measure background and spread of a volume from at most 32 blocks of 32³ voxels.

    Blocks of one constant value (the padding of a reconstruction) do not count. The scale is half the
    distance from the 16th to the 84th percentile, which equals the standard deviation of a Gaussian.

    Parameters
    ----------
    volume
        Anything with ``shape`` and ``read(region)``; small volumes are read whole.
    polarity
        How protein looks in the stored values.
    seed
        Of the choice of blocks.

    Raises
    ------
    InputError
        When a sampled voxel is NaN or infinite, or all of them are equal.
    """
    # Starts on a grid of 32, so that a block seldom straddles two chunks of the file.
    grid = [(length + BLOCK_SIZE - 1) // BLOCK_SIZE for length in volume.shape]
    num_cells = int(np.prod(grid))
    chosen = np.random.default_rng(seed).permutation(num_cells)[:NUM_BLOCKS]
    starts = np.stack(np.unravel_index(np.sort(chosen), grid), axis=1) * BLOCK_SIZE  # (n, 3) z y x
    blocks = []
    for start in starts:
        z, y, x = (slice(int(low), int(low) + BLOCK_SIZE) for low in start)
        block = volume.read((z, y, x))
        num_bad = int((~np.isfinite(block)).sum())
        if num_bad:
            raise InputError(
                f"expected finite values in {volume}, found {num_bad} NaN or infinite voxels in the block "
                f"at z y x {tuple(int(low) for low in start)}: replace them (for instance by the mean) and "
                "write the tomogram again"
            )
        if block.max() > block.min():
            blocks.append(block.ravel())
    if not blocks:
        raise InputError(
            f"expected a tomogram with contrast, found one single value in every sampled block of {volume}: "
            "check that the reconstruction finished"
        )
    return measure_values(np.concatenate(blocks), polarity, str(volume))


def measure_values(values: NDArray[Any], polarity: Polarity, source: str = "the volume") -> Contrast:
    """Measure background and spread of values that are in memory: median and percentile scale.

    Raises
    ------
    InputError
        When more than two thirds of the values are equal.
    """
    low, median, high = np.percentile(values, [16, 50, 84])
    scale = float(high - low) / 2
    if not scale > 0:
        raise InputError(
            f"expected a tomogram with contrast, found over two thirds of the voxels equal to {median:g} "
            f"in {source}: check that it is a tomogram, not a mask"
        )
    return Contrast(centre=float(median), scale=scale, sign=-1.0 if polarity is Polarity.dark else 1.0)
