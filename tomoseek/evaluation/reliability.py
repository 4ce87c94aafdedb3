"""Whether a score of 0.8 is right eight times in ten."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

NUM_BINS = 10


@dataclass(slots=True)
class Reliability:
    """Candidates by score, in bins of 0.1 that hold any: mean score, share that is right, number of candidates."""

    mean_score: FloatArray
    share_right: FloatArray
    count: NDArray[np.int64]

    def record(self) -> dict[str, Any]:
        """Return the bins as JSON holds them."""
        return {
            "mean_score": self.mean_score.round(5).tolist(),
            "share_right": self.share_right.round(5).tolist(),
            "count": self.count.tolist(),
        }


def reliability(scores: FloatArray, right: NDArray[np.bool_]) -> Reliability | None:
    """Compare scores, read as probabilities, with the share of candidates that are right.

    Parameters
    ----------
    scores, right
        ``(n,)`` of one class, as `tomoseek.evaluation.ranking.rank` tells them.

    Returns
    -------
    None where scores cannot be read so: no candidate, a score outside 0 to 1, or the same score for all.
    """
    if len(scores) == 0 or scores.min() < 0 or scores.max() > 1 or scores.min() == scores.max():
        return None
    place = np.minimum((scores * NUM_BINS).astype(np.int64), NUM_BINS - 1)  # a score of 1 belongs to the last bin
    count = np.bincount(place, minlength=NUM_BINS)
    held = count > 0
    sum_score, sum_right = (np.bincount(place, weights=values, minlength=NUM_BINS) for values in (scores, right))
    return Reliability(sum_score[held] / count[held], sum_right[held] / count[held], count[held])


def calibration_error(bins: Reliability | None) -> float | None:
    """Mean distance between score and share right over the bins, each candidate counting the same."""
    if bins is None:
        return None
    return float(np.average(np.abs(bins.share_right - bins.mean_score), weights=bins.count))
