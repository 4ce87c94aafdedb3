"""Whether picks sit on something: the local contrast at places, beside that at places drawn at random.

No encoder is needed: at the scale of a particle, what is denser than its surroundings tells picks from chance.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tomoseek.doctor.scan import Scan
from tomoseek.geometry import FloatArray, angstrom_to_cells

INNER, OUTER = 0.7, 1.4  # half the sides of the cubes that are compared, over the particle's radius
NUM_RANDOM = 2000


class Sitting(NamedTuple):
    """How well a set of places sits on dense spots.

    Parameters
    ----------
    share
        Of the pairs of a place and a random one, those in which the place is the denser: 0.5 is chance, 1 all of them,
        and near 0 the places are less dense than their surroundings throughout.
    sure
        By how many standard errors that differs from chance.
    num_inside
        Places that lie inside the volume; others do not count.
    """

    share: float
    sure: float
    num_inside: int


class Density:
    """Local contrast anywhere in a volume: mean over a cube about the place, less the mean over what surrounds it.

    Parameters
    ----------
    scan
        Of the volume.
    """

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        # Sums over all cubes from the corner: any mean over a cube costs eight of them, whatever its size.
        sums = np.pad(scan.small, [(1, 0)] * 3).astype(np.float64)
        for axis in range(3):
            np.cumsum(sums, axis=axis, out=sums)
        self._sums = sums
        places = np.flatnonzero(scan.occupied)
        drawn = np.random.default_rng(0).choice(places, min(NUM_RANDOM, len(places)), replace=False)
        self._random = np.stack(np.unravel_index(drawn, scan.small.shape), axis=1).astype(np.float64)  # (n, 3) z y x

    def sitting(self, points_xyz: FloatArray, radius: float) -> Sitting | None:
        """Compare places with random ones.

        Parameters
        ----------
        points_xyz
            ``(n, 3)`` x y z in Å.
        radius
            Of the particle, Å.

        Returns
        -------
        None when no place is inside the volume, or nothing of it is measured.
        """
        cells = self.scan.cells(points_xyz)
        cells = cells[((cells > -0.5) & (cells < np.array(self.scan.small.shape) - 0.5)).all(axis=1)]
        if not len(cells) or not len(self._random):
            return None
        here, there = self.contrast(cells, radius), np.sort(self.contrast(self._random, radius))
        below = np.searchsorted(there, here, "left") + np.searchsorted(there, here, "right")
        share = float(below.mean() / 2 / len(there))
        error = np.sqrt((len(here) + len(there) + 1) / (12 * len(here) * len(there)))
        return Sitting(share, float((share - 0.5) / error), len(here))

    def at(self, points_xyz: FloatArray, radius: float) -> NDArray[np.float64]:
        """Local contrast ``(n,)`` at points ``(n, 3)`` x y z in Å, for a particle of a radius in Å."""
        return self.contrast(self.scan.cells(points_xyz), radius)

    def contrast(self, cells: FloatArray, radius: float) -> NDArray[np.float64]:
        """Local contrast ``(n,)`` at places ``(n, 3)`` z y x of the small copy."""
        size = angstrom_to_cells(radius, self.scan.small_spacing)
        inner, num_inner = self._sum(cells, INNER * size)
        outer, num_outer = self._sum(cells, max(OUTER * size, INNER * size + 1))
        return np.asarray(inner / num_inner - (outer - inner) / np.maximum(num_outer - num_inner, 1))

    def _sum(self, cells: FloatArray, half: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sum over cubes about places, and how many voxels of them are inside the volume."""
        end = np.array(self.scan.small.shape)
        low = np.clip(np.rint(cells - half), 0, end - 1).astype(np.int64)
        high = np.clip(np.rint(cells + half) + 1, low + 1, end).astype(np.int64)
        total = np.zeros(len(cells))
        for corner in np.ndindex(2, 2, 2):
            z, y, x = (np.where(side, high[:, axis], low[:, axis]) for axis, side in enumerate(corner))
            total += (-1.0) ** (3 - sum(corner)) * self._sums[z, y, x]
        return total, np.prod(high - low, axis=1).astype(np.float64)
