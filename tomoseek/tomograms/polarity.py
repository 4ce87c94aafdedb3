"""How protein looks in a file, told from its values: dark, bright, or not to be told.

Protein, membranes and gold are all denser than ice, so the heavy tail of band-passed values is on their side. What
is larger or smaller than particles (carbon, thickness; hot voxels) is filtered or cut away first. Networks are told the
polarity; this only lets commands warn.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomoseek.config import Polarity
from tomoseek.messages import warn
from tomoseek.tomograms.binning import binned
from tomoseek.tomograms.blank import FloatVolume, Readable, blank_voxels
from tomoseek.tomograms.tomogram import Tomogram

NUM_BLOCKS = 16
BLOCK_ANGSTROM, LEAST_BLOCK, MOST_BLOCK = 640.0, 24, 160  # edge; bounded in voxels
FINEST_ANGSTROM = 10.0  # finer voxels are averaged to about this
LOW_PASS_ANGSTROM, HIGH_PASS_ANGSTROM = 20.0, 120.0  # sigmas of Gaussians
MOST_BEFORE, MOST_AFTER = 4.0, 5.0  # robust standard deviations that count, before and after the band-pass
LEAST_FILLED = 0.3  # of a block, to be looked at
# Skewness of a block of noise has a standard deviation of about 0.1; that of real tomograms is 0.2 and more.
NOISE_OF_BLOCK, LEAST_SKEWNESS, LEAST_SIGMAS = 0.1, 0.08, 3.0


class Measured(Readable, Protocol):
    """A volume that reads a region at a time, and knows what its blank parts are filled with."""

    @property
    def blank_value(self) -> float | None: ...


def estimate_polarity(volume: Measured, voxel_spacing: float, seed: int = 0) -> Polarity | None:
    """Guess how protein looks in stored values, from at most 16 blocks of about 640 Å.

    Parameters
    ----------
    volume
        Anything with ``shape``, ``read(region)``, z y x, and ``blank_value``. What is blank does not count.
    voxel_spacing
        Å per voxel.
    seed
        Of the choice of blocks.

    Returns
    -------
    The polarity, or None when it cannot be told.
    """
    edge = int(np.clip(round(BLOCK_ANGSTROM / voxel_spacing), LEAST_BLOCK, MOST_BLOCK))
    grid = [max(1, round(length / edge)) for length in volume.shape]
    chosen = np.random.default_rng(seed).permutation(int(np.prod(grid)))[:NUM_BLOCKS]
    found = []
    for cell in np.stack(np.unravel_index(np.sort(chosen), grid), axis=1):  # z y x
        starts = [int(k) * max(0, n - edge) // max(1, m - 1) for k, n, m in zip(cell, volume.shape, grid, strict=True)]
        z, y, x = (slice(start, min(n, start + edge)) for start, n in zip(starts, volume.shape, strict=True))
        block = volume.read((z, y, x))
        skewness = block_skewness(block, blank_voxels(block, volume.blank_value), voxel_spacing)
        if skewness is not None:
            found.append(np.clip(skewness, -1, 1))
    if not found:
        return None
    mean = float(np.mean(found))
    error = max(float(np.std(found)), NOISE_OF_BLOCK) / np.sqrt(len(found))
    if abs(mean) < max(LEAST_SKEWNESS, LEAST_SIGMAS * error):
        return None
    return Polarity.dark if mean < 0 else Polarity.bright


def block_skewness(block: FloatVolume, blank: NDArray[np.bool_], voxel_spacing: float) -> float | None:
    """Return the skewness of a block at the size of particles; None where too little of it holds anything.

    Parameters
    ----------
    block
        ``(z, y, x)`` stored values.
    blank
        ``(z, y, x)``: which were never measured.
    voxel_spacing
        Å per voxel.
    """
    filled = ~blank
    values = np.where(filled, block, 0)
    if filled.mean() < LEAST_FILLED:
        return None
    values, _ = _standardised(values, filled, MOST_BEFORE)
    finer = max(1, int(FINEST_ANGSTROM * 1.05 / voxel_spacing))
    values, share = binned(values, finer), binned(filled.astype(np.float32), finer)
    spacing = voxel_spacing * finer
    smooth = ndimage.gaussian_filter(values, LOW_PASS_ANGSTROM / spacing, mode="nearest")
    sparser = max(1, int(LOW_PASS_ANGSTROM / spacing))
    smooth, share = smooth[(slice(None, None, sparser),) * 3], share[(slice(None, None, sparser),) * 3]
    wide = HIGH_PASS_ANGSTROM / (spacing * sparser)
    band = smooth - ndimage.gaussian_filter(smooth, wide, mode="nearest")
    inside = share > 0.5
    if not inside.any():
        return None
    band, spread = _standardised(band, inside, MOST_AFTER)
    kept = band[inside].astype(np.float64)
    kept -= kept.mean()
    return float(np.mean(kept**3) / np.mean(kept**2) ** 1.5) if spread > 0 else None


def looks_inverted(tomogram: Tomogram) -> str | None:
    """Say that protein looks otherwise than stated; None where it does not, or cannot be told."""
    guess = estimate_polarity(tomogram.stored, tomogram.stored.voxel_spacing)
    if guess is None or guess is tomogram.polarity:
        return None
    return f"run {tomogram.run}: {contradiction(guess, tomogram.polarity)}"


def check_usable(tomogram: Tomogram) -> None:
    """Look at a tomogram before hours are spent on it: its contrast can be measured; warn if it looks inverted.

    Raises
    ------
    InputError
        When it cannot be read, is constant or blank.
    """
    _ = tomogram.contrast
    if said := looks_inverted(tomogram):
        warn(said)


def contradiction(seen: Polarity, stated: Polarity) -> str:
    """Say that protein looks otherwise than stated."""
    return (
        f"protein looks {seen.value}, stated {stated.value}: look at a slice, and set data.polarity={seen.value} if so"
    )


def _standardised(values: FloatVolume, counted: NDArray[np.bool_], most: float) -> tuple[FloatVolume, float]:
    """Bring the counted values to median 0 and robust spread 1, cut at ``most``; all others become 0."""
    low, median, high = np.percentile(values[counted], [16, 50, 84])
    spread = float(high - low) / 2
    if not spread > 0:
        return np.zeros_like(values), 0.0
    scaled = np.clip((values - median) / spread, -most, most)
    return np.where(counted, scaled, 0).astype(np.float32), spread
