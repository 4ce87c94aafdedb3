"""The candidates of a search in one list, best first, and what was said of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from embed.search import Found

Floats = NDArray[np.floating[Any]]


class Judged(NamedTuple):
    """A place of a run, x y z in Å, and whether the object is there."""

    run: str
    xyz: tuple[float, float, float]
    right: bool


@dataclass(frozen=True)
class Finds:
    """The candidates of a search, best first.

    Attributes
    ----------
    run
        ``(n,)`` names.
    xyz
        ``(n, 3)`` Å.
    scores
        ``(n,)``.
    probability
        ``(n,)`` as the search says; None where it promises nothing.
    found
        The search.
    radius
        Å, that it searched with.
    """

    run: NDArray[np.str_]
    xyz: Floats
    scores: Floats
    probability: Floats | None
    found: Found
    radius: float

    @classmethod
    def of(cls, found: Found) -> "Finds":
        """Put the runs together."""
        runs = np.concatenate(
            [np.repeat(run, len(each)) for run, each in found.candidates.items()] or [np.zeros(0, str)]
        )
        xyz = np.concatenate([np.zeros((0, 3)), *(each.points_xyz for each in found.candidates.values())])
        scores = np.concatenate([np.zeros(0), *(each.scores for each in found.candidates.values())])
        order = np.argsort(-scores, kind="stable")
        likely = None
        if found.probability is not None:
            likely = np.concatenate([np.zeros(0), *found.probability.values()])[order]
        return cls(runs[order], xyz[order], scores[order], likely, found, found.radius)

    def judged(self, places: Iterable[Judged]) -> Floats:
        """Return for each find 1 (right), 0 (wrong) or NaN, as the place within half a radius of it was judged."""
        right = np.full(len(self.scores), np.nan)
        for run, xyz, is_right in places:
            apart = np.linalg.norm(self.xyz - np.asarray(xyz), axis=1)
            apart[self.run != run] = np.inf
            if len(apart) and apart.min() <= self.radius / 2:
                right[int(apart.argmin())] = float(is_right)
        return right
