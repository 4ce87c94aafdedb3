"""Half of a yeast lamella with its listed ribosomes: who is an example, where else one may look, what counts as found.

The reference is a cleaned list, so a find that hits none may still be right: scored is the share of references hit by
the first N, 2N and 4N finds, N being their number.

Letters: n points, k examples.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from tomoseek import Tomogram, open_tomogram
from tomoseek.geometry import angstrom_to_cells, indices_to_points
from tomoseek.picks.peaks import find_peaks
from tomoseek.picks.tables import read_points_csv

RUN = "lamella_a"
RADIUS = HIT = 150.0  # Å
MULTIPLES = (1, 2, 4)
MOST_FINDS = 2000

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Lamella:
    """The tomogram, and the centres ``(n, 3)`` of the listed ribosomes, x y z in Å."""

    tomogram: Tomogram
    truth_xyz: Points

    def draw(self, count: int, seed: int) -> Points:
        """Draw ``(k, 3)`` references to be examples."""
        return self.truth_xyz[np.random.default_rng(seed).choice(len(self.truth_xyz), count, replace=False)]

    def half(self, seed: int) -> Points:
        """Draw half of the references."""
        return self.draw(len(self.truth_xyz) // 2, seed)

    def places(self, count: int, seed: int, clear_of: Points) -> Points:
        """Draw ``(n, 3)`` places of the slab that lie farther than ``HIT`` from all given points."""
        voxels = np.argwhere(ndimage.binary_erosion(self.slab, border_value=1))  # clear of what is not embedded
        random, spacing = np.random.default_rng(seed), self.tomogram.voxel_spacing
        drawn = np.zeros((0, 3))
        while len(drawn) < count:
            anywhere = indices_to_points(random.choice(voxels, count), spacing)
            drawn = np.concatenate([drawn, elsewhere(anywhere, clear_of)])
        return drawn[:count]

    @cached_property
    def slab(self) -> NDArray[np.bool_]:
        """Tell which voxels ``(z, y, x)`` an encoder searches: between the faces of the lamella, not blank."""
        return self.tomogram.counts((slice(None),) * 3)

    @cached_property
    def volume(self) -> NDArray[np.float32]:
        """All voxels ``(z, y, x)``, normalised, protein positive."""
        return self.tomogram.crop((0, 0, 0), self.tomogram.shape)

    def peaks(self, score_map: NDArray[np.floating[Any]]) -> Points:
        """Return the peaks ``(n, 3)`` of a score per voxel, best first, in the slab."""
        spacing = self.tomogram.voxel_spacing
        cells, _ = find_peaks(
            np.where(self.slab, score_map, -np.inf), radius_cells=angstrom_to_cells(RADIUS, spacing), threshold=-np.inf,
            max_peaks=MOST_FINDS, shape_map=score_map,
        )  # fmt: skip
        return indices_to_points(cells, spacing)


def open_lamella(folder: Path) -> Lamella:
    """Open the tomogram and read the references of a folder with ``lamella_a.mrc`` and ``ribosomes.csv``."""
    truth = read_points_csv(folder / "ribosomes.csv")[RUN].points_xyz
    return Lamella(open_tomogram(folder / f"{RUN}.mrc"), truth)


def elsewhere(points_xyz: Points, examples_xyz: Points, reach: float = HIT) -> Points:
    """Leave out the points on an example."""
    return np.asarray(points_xyz[cKDTree(examples_xyz).query(points_xyz)[0] > reach])


def hits(found_xyz: Points, truth_xyz: Points) -> NDArray[np.bool_]:
    """Tell which finds lie on a reference."""
    return np.asarray(cKDTree(truth_xyz).query(found_xyz)[0] <= HIT)


def recalls(found_xyz: Points, truth_xyz: Points, examples_xyz: Points) -> list[float]:
    """Share of the references, less the examples, hit by the first N, 2N and 4N finds, best first."""
    left = elsewhere(truth_xyz, examples_xyz, reach=1.0)
    others = elsewhere(found_xyz, examples_xyz)
    return [float(hits(left, others[: k * len(left)]).mean()) for k in MULTIPLES]
