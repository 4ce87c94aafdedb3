"""Candidates of one class ranked by score over all runs: precision and recall along it, average precision, best F1.

Letters: n candidates, k thresholds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from tomoseek.evaluation.score import HIT_FRACTION, Counts, as_points, count_hits
from tomoseek.picks.points import Picks

FloatArray = NDArray[np.float64]


class PrecisionRecall(NamedTuple):
    """Precision and recall at every threshold, each ``(k,)``, by falling threshold.

    Row i keeps candidates with score >= its threshold: equal scores are taken together. Recall is NaN without
    references; all are empty without candidates.
    """

    precision: FloatArray
    recall: FloatArray
    threshold: FloatArray


@dataclass(frozen=True, slots=True)
class Ranking:
    """Candidates of one class over all runs together, best first.

    Attributes
    ----------
    scores
        ``(n,)``, falling.
    right
        ``(n,)``, whether each candidate is right.
    num_references
        Particles that are there to be found.
    """

    scores: FloatArray
    right: NDArray[np.bool_]
    num_references: int

    def precision_recall(self) -> PrecisionRecall:
        """Return precision and recall at every threshold."""
        last = np.append(self.scores[1:] != self.scores[:-1], True)[: len(self.scores)]  # of each run of equal scores
        num_right = np.cumsum(self.right)[last].astype(np.float64)  # (k,)
        precision = num_right / (np.flatnonzero(last) + 1)
        recall = num_right / self.num_references if self.num_references else np.full(len(num_right), np.nan)
        return PrecisionRecall(precision, recall, self.scores[last])

    def average_precision(self) -> float:
        """Area under the precision-recall curve, as the sum of P_i (R_i - R_{i-1}), not interpolated.

        0 without candidates; NaN without references.
        """
        if not self.num_references:
            return float("nan")
        precision, recall, _ = self.precision_recall()
        return float(np.sum(precision * np.diff(recall, prepend=0.0)))

    def best_f1(self) -> float:
        """F1 at the threshold where it is highest.

        0 without candidates; NaN without references.
        """
        if not self.num_references:
            return float("nan")
        precision, recall, _ = self.precision_recall()
        hitting = precision > 0
        return float(np.max(2 / (1 / precision[hitting] + 1 / recall[hitting]), initial=0.0))


def rank(reference: Mapping[str, ArrayLike], candidates: Mapping[str, Picks], radius_angstrom: float) -> Ranking:
    """Rank the candidates of one class over all runs together, and say which are right.

    From the highest score down, each candidate takes the nearest reference within half the radius that no
    other candidate has taken; without one it is wrong.

    Parameters
    ----------
    reference
        Run to ``(n, 3)`` points, x y z in Å.
    candidates
        Run to picks with scores. Runs without candidates may be missing; those of a run without references are wrong.
    radius_angstrom
        Particle radius.
    """
    scores, right = [np.zeros(0)], [np.zeros(0, dtype=bool)]
    for run, picks in candidates.items():
        order = np.argsort(-picks.scores, kind="stable")
        scores.append(picks.scores[order])
        right.append(_take_in_turn(as_points(reference.get(run, ())), picks.points_xyz[order], radius_angstrom))
    all_scores = np.concatenate(scores)
    order = np.argsort(-all_scores, kind="stable")
    num_references = sum(len(as_points(points)) for points in reference.values())
    return Ranking(all_scores[order], np.concatenate(right)[order], num_references)


def score_ranking(
    reference: Mapping[str, ArrayLike], picks: Mapping[str, Picks], radius_angstrom: float
) -> dict[str, float]:
    """Score picks of one class, as a ranking and as they are.

    Parameters
    ----------
    reference
        Run to ``(n, 3)`` true centres, x y z in Å. Its runs are those that are scored; leave out those of examples.
    picks
        Run to picks with scores, of each of these runs.
    radius_angstrom
        Particle radius; a pick is right within half of it.

    Returns
    -------
    ``average_precision`` and ``best_f1`` along the ranking (NaN without references), ``precision`` and ``recall`` of
    all picks by the rule of `tomoseek.evaluation.score.count_hits`, ``num_references``, ``num_picks``.
    """
    ranking = rank(reference, {run: picks[run] for run in reference}, radius_angstrom)
    by_run = (count_hits(points, picks[run].points_xyz, radius_angstrom) for run, points in reference.items())
    counts = sum(by_run, Counts(0, 0, 0))
    return {
        "average_precision": ranking.average_precision(),
        "best_f1": ranking.best_f1(),
        "precision": counts.precision,
        "recall": counts.recall,
        "num_references": ranking.num_references,
        "num_picks": len(ranking.scores),
    }


def _take_in_turn(reference: FloatArray, candidate: FloatArray, radius_angstrom: float) -> NDArray[np.bool_]:
    """Let each candidate in turn take the nearest free reference within half the radius; say which got one."""
    hit = np.zeros(len(candidate), dtype=bool)
    if len(reference) == 0 or len(candidate) == 0:
        return hit
    free = np.ones(len(reference), dtype=bool)
    in_reach = cKDTree(reference).query_ball_point(candidate, HIT_FRACTION * radius_angstrom)
    for index, near in enumerate(in_reach):
        choices = [choice for choice in near if free[choice]]
        if choices:
            distances = np.linalg.norm(reference[choices] - candidate[index], axis=1)
            free[choices[int(np.argmin(distances))]] = False
            hit[index] = True
    return hit
