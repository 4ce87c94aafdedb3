"""How good picks are as they stand: the CZII F-beta, and the distance of hits.

References
----------
CZII CryoET Object Identification, evaluation page and its published metric: a candidate hits a reference when
they lie within half the particle radius of each other, the limit included.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from tomoseek.complexes import class_weight
from tomoseek.errors import InputError

BETA = 4.0
HIT_FRACTION = 0.5

FloatArray = NDArray[np.float64]


class Counts(NamedTuple):
    """True positives, false positives and false negatives; ``a + b`` adds them up, as for runs of one
    class."""

    tp: int
    fp: int
    fn: int

    def __add__(self, other: object) -> "Counts":
        if not isinstance(other, Counts):
            return NotImplemented
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def precision(self) -> float:
        """Share of candidates that are right: 0 without candidates."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else 0.0

    @property
    def recall(self) -> float:
        """Share of references found: 0 without references."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else 0.0


def count_hits(reference_xyz: ArrayLike, candidate_xyz: ArrayLike, radius_angstrom: float) -> Counts:
    """Count hits of one class in one run by the CZII rule.

    A reference is hit when a candidate lies within half the radius (``<=``). TP is the number of *distinct*
    references hit, so a second candidate on the same reference is a false positive. Where one candidate hits
    several references, each is a TP and FP stops at 0.

    Parameters
    ----------
    reference_xyz, candidate_xyz
        ``(n, 3)`` points in Å; either may be empty.
    radius_angstrom
        Particle radius.
    """
    reference, candidate = as_points(reference_xyz), as_points(candidate_xyz)
    if len(reference) == 0 or len(candidate) == 0:
        return Counts(0, len(candidate), len(reference))
    hits = cKDTree(reference).query_ball_point(candidate, HIT_FRACTION * radius_angstrom)
    tp = len({index for hit in hits for index in hit})
    return Counts(tp, max(0, len(candidate) - tp), len(reference) - tp)


def hit_distances(reference_xyz: ArrayLike, candidate_xyz: ArrayLike, radius_angstrom: float) -> FloatArray:
    """Distance of each reference hit to the candidate that hit it, the nearest where several did.

    Parameters
    ----------
    reference_xyz, candidate_xyz, radius_angstrom
        As for `count_hits`.

    Returns
    -------
    ``(tp,)`` distances in Å, in the order of the references, none beyond half the radius.
    """
    reference, candidate = as_points(reference_xyz), as_points(candidate_xyz)
    nearest = np.full(len(reference), np.inf)
    if len(reference) and len(candidate):
        hits = cKDTree(reference).query_ball_point(candidate, HIT_FRACTION * radius_angstrom)
        hitting = np.repeat(np.arange(len(candidate)), [len(hit) for hit in hits])  # (h,) candidate of each pair
        hit = np.concatenate(hits).astype(np.int64)  # (h,) reference of each pair
        np.minimum.at(nearest, hit, np.linalg.norm(reference[hit] - candidate[hitting], axis=1))
    return np.compress(np.isfinite(nearest), nearest)


def f_beta(counts: Counts, beta: float = BETA) -> float:
    """F-beta of counts summed over runs.

    0 when nothing is hit; NaN when there is neither a reference nor a candidate, so that nothing can be said.
    """
    if not any(counts):
        return float("nan")
    weighted = beta**2 * counts.precision + counts.recall
    return (1 + beta**2) * counts.precision * counts.recall / weighted if weighted else 0.0


def run_counts(
    reference: Mapping[str, Mapping[str, ArrayLike]],
    candidates: Mapping[str, Mapping[str, ArrayLike]],
    radii: Mapping[str, float],
) -> dict[str, dict[str, Counts]]:
    """Count hits of every class in every annotated run.

    Parameters
    ----------
    reference
        Run to class to ``(n, 3)`` points in Å. Every run that was annotated is a key, even one without
        particles; a class missing from a run has no particle there, so each of its candidates is a false
        positive.
    candidates
        Likewise. Runs without candidates may be missing.
    radii
        Class to radius in Å; its keys are the classes scored.

    Returns
    -------
    Class to run to counts.

    Raises
    ------
    InputError
        When there are candidates in a run that is not among the references.
    """
    unknown = sorted(set(candidates) - set(reference))
    if unknown:
        raise InputError(
            f"expected candidates in annotated runs ({', '.join(sorted(reference))}), found some in "
            f"{', '.join(unknown)}: leave those out"
        )
    return {
        name: {
            run: count_hits(truth.get(name, ()), candidates.get(run, {}).get(name, ()), radius)
            for run, truth in reference.items()
        }
        for name, radius in radii.items()
    }


def class_scores(
    reference: Mapping[str, Mapping[str, ArrayLike]],
    candidates: Mapping[str, Mapping[str, ArrayLike]],
    radii: Mapping[str, float],
    beta: float = BETA,
) -> dict[str, dict[str, float]]:
    """Score every class by its counts summed over runs.

    Parameters
    ----------
    reference, candidates, radii
        As for `run_counts`.
    beta
        Weight of recall against precision.

    Returns
    -------
    Class to ``f4`` (the F-beta, NaN without references and candidates), ``precision``, ``recall``, ``f1``,
    ``tp``, ``fp``, ``fn``.
    """
    scores = {}
    for name, by_run in run_counts(reference, candidates, radii).items():
        counts = sum(by_run.values(), Counts(0, 0, 0))
        scores[name] = {
            "f4": f_beta(counts, beta),
            "precision": counts.precision,
            "recall": counts.recall,
            "f1": f_beta(counts, 1.0),
            "tp": counts.tp,
            "fp": counts.fp,
            "fn": counts.fn,
        }
    return scores


def weighted_f4(scores: Mapping[str, Mapping[str, float]], weights: Mapping[str, float] | None = None) -> float:
    """Mean F-beta of `class_scores`, weighted as the challenge does.

    Parameters
    ----------
    scores
        As `class_scores` returns them. Classes whose ``f4`` is NaN are left out.
    weights
        Class to weight; None takes the challenge's, and 1 for other classes.

    Returns
    -------
    NaN when no class with a weight could be scored.
    """
    values, used = [], []
    for name, score in scores.items():
        if not np.isnan(score["f4"]):
            values.append(score["f4"])
            used.append(class_weight(name) if weights is None else weights[name])
    return float(np.average(values, weights=used)) if sum(used) > 0 else float("nan")


def as_points(points_xyz: ArrayLike) -> FloatArray:
    """Return points as an array ``(n, 3)``, also where there are none."""
    return np.asarray(points_xyz, dtype=np.float64).reshape(-1, 3)
