"""The score from which a candidate counts as a pick, chosen per class on runs that are not scored later."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from tomoseek.evaluation.score import BETA, count_hits, f_beta
from tomoseek.picks.points import Picks

Points = npt.NDArray[np.float64]

GRID = np.linspace(0.01, 0.99, 99)
UNDECIDED = 0.5
WOBBLE = 0.08
TIE = 0.999


def f_at(
    reference: dict[str, Points], candidates: dict[str, Picks], radius: float, threshold: float, beta: float = BETA
) -> float:
    """F-beta of one class over all runs, keeping candidates that reach ``threshold``."""
    counts = [
        count_hits(points, candidates[run].points_xyz[candidates[run].scores >= threshold], radius)
        for run, points in reference.items()
    ]
    return f_beta(sum(counts[1:], counts[0]), beta)


def choose_threshold(
    reference: dict[str, Points], candidates: dict[str, Picks], radius: float, beta: float = BETA
) -> float:
    """Return the threshold with the best F-beta averaged over thresholds nearby.

    The best single value rests on one or two candidates of a few runs, and often lies at the edge beyond which
    recall collapses. Scores wobble from run to run, so the curve is smoothed by about as much before its
    top, or the middle of a flat top, is taken. Where the runs cannot tell (no reference, or nothing found) it
    is 0.5.

    Parameters
    ----------
    reference
        Run name to ``(n, 3)`` points of the class, Å.
    candidates
        Run name to scored candidates of the class; the same runs.
    radius
        Radius of the class, Å.
    beta
        How much more recall counts than precision; 1 is their balance.
    """
    scores = np.array([f_at(reference, candidates, radius, float(threshold), beta) for threshold in GRID])
    if not any(len(points) for points in reference.values()) or not scores.max() > 0:
        return UNDECIDED
    smooth = gaussian_filter1d(scores, WOBBLE / (GRID[1] - GRID[0]), mode="nearest")
    best = GRID[smooth >= TIE * smooth.max()]
    return round(float((best.min() + best.max()) / 2), 3)
