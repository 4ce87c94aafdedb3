"""Particles cut out of labelled tomograms and put into crops where there is none: more of the rare classes.

Volumes are z y x arrays, points ``(n, 3)`` z y x voxel coordinates in the crop.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Volume = npt.NDArray[np.float32]
Indices = npt.NDArray[np.float64]

SOFT_EDGE = 4
NUM_TRIES = 10


def reach(radius: float) -> int:
    """Voxels from the centre of the cube that is cut out to its faces, for a particle of ``radius`` voxels."""
    return int(np.ceil(radius)) + SOFT_EDGE


def free_place(
    size: Sequence[int],
    radius: float,
    points: Sequence[Indices],
    radii: Sequence[float],
    generator: np.random.Generator,
) -> npt.NDArray[np.int64] | None:
    """Draw a voxel of a crop at which a particle touches none that is there; None when ten draws found none.

    Parameters
    ----------
    size
        Of the crop, voxels.
    radius
        Of the particle, voxels.
    points, radii
        Per class, those of the particles already there.
    generator
        Random state.
    """
    for _ in range(NUM_TRIES):
        place = generator.integers(size)
        if all(np.all(np.linalg.norm(p - place, axis=1) > radius + r) for p, r in zip(points, radii, strict=True)):
            return np.asarray(place)
    return None


def paste(volume: Volume, cube: Volume, place: npt.NDArray[np.int64], centre: Indices, radius: float) -> Indices:
    """Blend a cube around a particle into ``volume`` (in place), whole within the radius, fading out over four voxels.

    Ice comes along inside the edge, so the noise stays that of a tomogram.

    Parameters
    ----------
    volume
        The crop, changed.
    cube
        What was cut out.
    place
        Where the cube's middle voxel goes; what reaches beyond the crop is cut off.
    centre
        ``(3,)``, of the particle in the cube.
    radius
        Of the particle, voxels.

    Returns
    -------
    ``(3,)``, the particle's place in the crop.
    """
    corner = place - np.array(cube.shape) // 2
    first, last = np.maximum(corner, 0), np.minimum(corner + cube.shape, volume.shape)
    along = [np.arange(n) - c for n, c in zip(cube.shape, centre, strict=True)]
    distance = np.sqrt(along[0][:, None, None] ** 2 + along[1][:, None] ** 2 + along[2] ** 2)
    share = np.clip((radius + SOFT_EDGE - distance) / SOFT_EDGE, 0, 1).astype(np.float32)
    inside = tuple(slice(a, b) for a, b in zip(first - corner, last - corner, strict=True))
    window = volume[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
    window += share[inside] * (cube[inside] - window)
    return np.asarray(corner + centre, dtype=np.float64)
