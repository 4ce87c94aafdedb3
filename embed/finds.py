"""Candidates in one list, best first, and what was said of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from embed.judged import JudgedPromise, judge, odds_before
from embed.search import Found
from tomoseek.picks.points import Picks

MOST = 20_000  # the best of them all; what lies below is right too rarely to count

Floats = NDArray[np.floating[Any]]


class Judged(NamedTuple):
    """A place of a run, x y z in Å, whether the object is there, and the log odds it had when it was judged, if any."""

    run: str
    xyz: tuple[float, float, float]
    right: bool
    odds: float | None = None


@dataclass(frozen=True)
class Finds:
    """Candidates of a search or of a trained picker, best first.

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
    radius
        Å, that was searched with.
    doubts
        Why nothing is promised; none where something is.
    ranked_by_density
        Whether density ranks, see `embed.by_density`.
    """

    run: NDArray[np.str_]
    xyz: Floats
    scores: Floats
    probability: Floats | None
    radius: float
    doubts: tuple[str, ...] = ()
    ranked_by_density: bool = False

    @classmethod
    def of(cls, found: Found) -> "Finds":
        """Put the runs of a search together."""
        runs, xyz, scores, order = _together(found.candidates)
        likely = None
        if found.probability is not None:
            likely = np.concatenate([np.zeros(0), *found.probability.values()])[order]
        return cls(runs, xyz, scores, likely, found.radius, found.doubts, found.ranked_by_density)

    @classmethod
    def of_probable(cls, candidates: Mapping[str, Picks], radius: float, doubts: tuple[str, ...] = ()) -> "Finds":
        """Put candidates by run together; their scores are probabilities, of no promise where there are doubts."""
        runs, xyz, scores, _ = _together(candidates)
        return cls(runs, xyz, scores, None if doubts else scores, radius, doubts)

    @property
    def odds(self) -> Floats:
        """Log odds ``(n,)`` of being right, before any judgement."""
        return odds_before(self.scores, self.probability)

    def promise(self, places: Iterable[Judged]) -> JudgedPromise:
        """Say what is known of the finds from judgements, of this search and of those before it.

        A place that was judged in an earlier search is an example or a negative of this one, which so knows it too
        well; what it scored then was by another search. Its log odds are taken as the mean of the two.
        """
        right, observed, now = np.full(len(self.scores), np.nan), [], self.odds
        for each in places:
            number = self.nearest(each.run, each.xyz)
            if number is not None:
                right[number] = float(each.right)
            known = [each.odds, None if number is None else float(now[number])]
            odds = [value for value in known if value is not None]
            if odds:
                observed.append((float(np.mean(odds)), float(each.right)))
        learned = np.array(observed).reshape(-1, 2)
        return judge(self.scores, self.probability, right, (learned[:, 0], learned[:, 1]))

    def nearest(self, run: str, xyz: Iterable[float]) -> int | None:
        """Return the find within half a radius of a place, if there is one."""
        if run not in self._places:
            return None
        numbers, tree = self._places[run]
        apart, number = tree.query(list(xyz))
        return int(numbers[number]) if apart <= self.radius / 2 else None

    @cached_property
    def _places(self) -> dict[str, tuple[NDArray[np.int64], cKDTree]]:
        """By run, the numbers of its finds, and where they are."""
        by_run = {str(run): np.flatnonzero(self.run == run) for run in np.unique(self.run)}
        return {run: (numbers, cKDTree(self.xyz[numbers])) for run, numbers in by_run.items()}


def _together(candidates: Mapping[str, Picks]) -> tuple[NDArray[np.str_], Floats, Floats, NDArray[np.int64]]:
    """Return runs, points and scores of the best, best first, and where they come from."""
    runs = np.concatenate([np.repeat(run, len(each)) for run, each in candidates.items()] or [np.zeros(0, str)])
    xyz = np.concatenate([np.zeros((0, 3)), *(each.points_xyz for each in candidates.values())])
    scores = np.concatenate([np.zeros(0), *(each.scores for each in candidates.values())])
    order = np.argsort(-scores, kind="stable")[:MOST]
    return runs[order], xyz[order], scores[order], order
