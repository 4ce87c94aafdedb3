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
from tomoseek.tomograms.blank import FloatVolume, Region

FloatValues = NDArray[np.float32]

BLOCK_SIZE = 32
NUM_BLOCKS = 32
MOST_TRIED = 8  # times as many; blocks outside the part that counts are not read


class Measurable(Protocol):
    """What contrast is measured on: ``shape``, and the values ``(n,)`` of a region that are not blank."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    def measured(self, region: Region) -> FloatValues: ...


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
        """Normalise finite stored values: protein positive, background 0, clipped to ±8 robust standard deviations."""
        factor = np.float32(self.sign / self.scale)
        normalised = (np.asarray(volume, dtype=np.float32) - np.float32(self.centre)) * factor
        return np.clip(normalised, -CLIP, CLIP, out=normalised)


def measure_contrast(volume: Measurable, polarity: Polarity, seed: int = 0) -> Contrast:
    """Measure background and spread of a volume from at most 32 blocks of 32³ voxels.

    Only what counts does: no padding, no corners of a turned volume, no NaN, nothing beyond a lamella. The scale is
    half the distance from the 16th to the 84th percentile, which equals the standard deviation of a Gaussian.

    Parameters
    ----------
    volume
        What is measured; of a small volume every voxel.
    polarity
        How protein looks in the stored values.
    seed
        Of the choice of blocks.

    Raises
    ------
    InputError
        When all that was sampled is blank or of one value.
    """
    # Starts on a grid of 32, so that a block seldom straddles two chunks of the file.
    grid = [(length + BLOCK_SIZE - 1) // BLOCK_SIZE for length in volume.shape]
    num_cells = int(np.prod(grid))
    chosen = np.random.default_rng(seed).permutation(num_cells)[: MOST_TRIED * NUM_BLOCKS]
    starts = np.stack(np.unravel_index(chosen, grid), axis=1) * BLOCK_SIZE  # (n, 3) z y x
    blocks: list[FloatValues] = []
    for start in starts:
        if len(blocks) == NUM_BLOCKS:
            break
        z, y, x = (slice(int(low), int(low) + BLOCK_SIZE) for low in start)
        measured = volume.measured((z, y, x))
        if measured.size and measured.max() > measured.min():
            blocks.append(measured)
    if not blocks:
        raise InputError(
            f"expected a tomogram with contrast, found one single value or NaN in every sampled block of {volume}: "
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
