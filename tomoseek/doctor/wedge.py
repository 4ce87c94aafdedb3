"""Which way the missing wedge lies, told from the power spectrum.

A tilt series leaves no signal in a wedge about the beam, which is z in a tomogram as it should be. A cone of 22 degrees
about z lies inside that wedge wherever the tilt axis lies in the plane of x and y, for tilts of up to 68 degrees.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

CONE_DEGREES = 22.0
# Cycles per voxel. Below, the shape of what is in the volume counts; above, filters of the reconstruction.
BANDS = ((0.06, 0.12), (0.12, 0.2), (0.2, 0.3))
EMPTY = 0.2  # power in an empty cone, over the mean: 0.00 to 0.02 in real tomograms
LARGEST, SMALLEST = 160, 24  # voxels along an axis that are looked at, and that are needed


class Wedge(NamedTuple):
    """Power in a cone about each axis over the mean power at the same frequencies, and the axis where it is empty."""

    power_zyx: tuple[float, float, float]
    axis: str | None


def find_wedge(volume: NDArray[np.float32]) -> Wedge | None:
    """Measure the power about each axis.

    Parameters
    ----------
    volume
        ``(z, y, x)`` normalised values; the middle of at most 160 voxels a side is looked at.

    Returns
    -------
    The power, with the emptiest axis where a wedge is missing there and there alone; None when the volume is too thin
    to tell, or of one value.
    """
    starts = [max(0, (n - LARGEST) // 2) for n in volume.shape]
    middle = volume[tuple(slice(start, start + LARGEST) for start in starts)]
    if min(middle.shape) < SMALLEST or not np.ptp(middle):
        return None
    windowed = middle - middle.mean()
    for axis, n in enumerate(middle.shape):  # without it the faces would fill the wedge
        shape = [1, 1, 1]
        shape[axis] = n
        windowed = windowed * np.hanning(n + 2)[1:-1].astype(np.float32).reshape(shape)
    power = np.abs(fft.rfftn(windowed)) ** 2
    z, y, x = (np.fft.fftfreq(n) for n in middle.shape)
    frequencies = np.meshgrid(z, y, np.abs(x[: power.shape[2]]), indexing="ij", sparse=True)
    length = np.sqrt(sum(axis**2 for axis in frequencies))
    ratios = np.zeros((len(BANDS), 3))
    for row, (low, high) in enumerate(BANDS):
        shell = (length > low) & (length <= high)
        values, lengths = power[shell], length[shell]
        for column, axis in enumerate(frequencies):
            inside = np.abs(np.broadcast_to(axis, length.shape)[shell]) > np.cos(np.radians(CONE_DEGREES)) * lengths
            ratios[row, column] = values[inside].mean() / values.mean()
    at = np.median(ratios, axis=0)
    emptiest, second = np.argsort(at)[:2]
    empty = at[emptiest] < EMPTY and at[second] > 2 * at[emptiest]
    return Wedge((float(at[0]), float(at[1]), float(at[2])), "zyx"[emptiest] if empty else None)
