"""Volumes binned: the mean over cubes of voxels."""

import numpy as np
from numpy.typing import NDArray


def binned(values: NDArray[np.generic], factor: int) -> NDArray[np.float32]:
    """Return the mean over cubes of ``factor`` voxels of ``(z, y, x)``; what sticks out is filled with the last plane.

    One axis at a time, which is several times as fast as all three at once.
    """
    padded = np.pad(values, [(0, -n % factor) for n in values.shape], mode="edge").astype(np.float32, copy=False)
    for axis in range(3 if factor > 1 else 0):
        shape = list(padded.shape)
        shape[axis : axis + 1] = [shape[axis] // factor, factor]
        padded = padded.reshape(shape).mean(axis=axis + 1)
    return padded
