"""Which class is taken for which.

Letters: n points, c classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tomoseek.evaluation.score import HIT_FRACTION
from tomoseek.picks.points import Picks

Points = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(slots=True)
class Confusion:
    """Two tables over the classes, summed over runs; their last column is nothing.

    Attributes
    ----------
    classes
        Names of the rows, and of the columns but the last.
    picks
        ``(c, c + 1)``: of the picks of a row's class, how many lie on a reference of a column's class.
    missed
        ``(c, c + 1)``: of the missed references of a row's class, at how many a column's class was picked.
    """

    classes: list[str]
    picks: IntArray
    missed: IntArray

    @property
    def any(self) -> bool:
        """Whether any class is taken for another."""
        others = ~np.eye(len(self.classes), len(self.classes) + 1, dtype=bool)
        others[:, -1] = False
        return bool(self.picks[others].any() or self.missed[others].any())

    def record(self) -> dict[str, Any]:
        """Return the tables as JSON holds them."""
        return {
            "rows": self.classes,
            "columns": [*self.classes, "nothing"],
            "picks_on_reference_of": self.picks.tolist(),
            "missed_references_picked_as": self.missed.tolist(),
        }


def confuse(
    reference: Mapping[str, Mapping[str, Points]], picks: Mapping[str, Mapping[str, Picks]], radii: Mapping[str, float]
) -> Confusion:
    """Say what each pick lies on, and what was picked at each missed reference.

    A pick lies on a reference within half the radius of the reference's class: on its own class where it can, else
    on the class nearest in terms of that distance. A missed reference is one without a pick of its class in reach;
    what was picked there is the class with the nearest pick in reach.

    Parameters
    ----------
    reference
        Run to class to ``(n, 3)`` points in Å.
    picks
        Run to class to picks; the same runs and classes.
    radii
        Class to radius in Å.
    """
    names = list(radii)
    reach = [HIT_FRACTION * radius for radius in radii.values()]
    lying_on, missed = (np.zeros((len(names), len(names) + 1), dtype=np.int64) for _ in range(2))
    for run, truth in reference.items():
        known = [truth[name] for name in names]
        found = [picks[run][name].points_xyz for name in names]
        for row in range(len(names)):
            distance = nearest_of_each(found[row], known) / np.array([*reach, 1.0])  # (n, c + 1)
            distance[distance[:, row] <= 1, row] = 0.0
            lying_on[row] += count_nearest(distance)
            distance = nearest_of_each(known[row], found) / np.array([*[reach[row]] * len(names), 1.0])  # (n, c + 1)
            missed[row] += count_nearest(distance[distance[:, row] > 1])
    return Confusion(names, lying_on, missed)


def nearest_of_each(points_xyz: Points, others_xyz: Sequence[Points]) -> Points:
    """Distance of each point to the nearest of each set of others, and 1 in a last column: ``(n, c + 1)``."""
    columns = [
        cKDTree(others).query(points_xyz)[0] if len(others) else np.full(len(points_xyz), np.inf)
        for others in others_xyz
    ]
    return np.stack([*columns, np.ones(len(points_xyz))], axis=1)


def count_nearest(distance: Points) -> IntArray:
    """Count the rows by their least column; a tie with the last, which is the reach, is within reach."""
    return np.bincount(distance.argmin(axis=1), minlength=distance.shape[1])
