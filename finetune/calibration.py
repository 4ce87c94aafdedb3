"""From the heatmap's value at a candidate to the probability that it is right, fitted on runs that trained nothing.

Letters: n candidates of one class.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from tomoseek.picks.points import Picks

FloatArray = NDArray[np.float64]

NEAREST_TO_CERTAIN = 1e-8  # below the last step of float32 before 1
# How far, in standard deviations of a normal prior, (log slope, offset) of all classes together may lie from the
# heatmap's own value, and those of one class from all classes.
SPREAD_OF_ALL = np.array([1.0, 4.0])
SPREAD_OF_CLASS = np.array([0.3, 1.0])


@dataclass(frozen=True, slots=True)
class Calibration:
    """Logit of the probability = slope times logit of the heatmap + offset; the slope is positive, so order stays."""

    slope: float
    offset: float

    def __call__(self, heatmap: ArrayLike) -> FloatArray:
        """Return the probability for values of the heatmap."""
        return np.asarray(expit(self.slope * log_odds(heatmap) + self.offset))


def log_odds(values: ArrayLike) -> FloatArray:
    """Logit of values from 0 to 1, finite also for those of a saturated heatmap."""
    clipped = np.clip(np.asarray(values, dtype=np.float64), NEAREST_TO_CERTAIN, 1 - NEAREST_TO_CERTAIN)
    return np.asarray(logit(clipped))


def calibrate(found: dict[str, Picks], calibration: dict[str, Calibration]) -> dict[str, Picks]:
    """Turn the heatmap values of each class's candidates into probabilities."""
    return {name: Picks(picks.points_xyz, calibration[name](picks.scores)) for name, picks in found.items()}


def fit_calibration(
    outcomes: dict[str, tuple[FloatArray, NDArray[np.bool_]]],
) -> dict[str, Calibration]:
    """Fit two numbers for each class: logistic regression on the logit of the heatmap.

    Each class is pulled to a fit of all classes together, and that one to the heatmap's own values. So a class with few
    candidates takes after the others, one with none is like them, a perfect separation gives no infinite slope, and
    candidates that are all right or all wrong no infinite offset.

    Parameters
    ----------
    outcomes
        Class to heatmap values and whether they were right, as `tomoseek.evaluation.ranking.rank` tells them.
    """
    values = {name: log_odds(scores) for name, (scores, _) in outcomes.items()}  # (n,) each
    right = {name: hits.astype(np.float64) for name, (_, hits) in outcomes.items()}  # (n,) each
    shared = _fit(_joined(values), _joined(right), np.zeros(2), SPREAD_OF_ALL)
    fits = {name: _fit(values[name], right[name], shared, SPREAD_OF_CLASS) for name in outcomes}
    return {name: Calibration(float(np.exp(fit[0])), float(fit[1])) for name, fit in fits.items()}


def _joined(parts: dict[str, FloatArray]) -> FloatArray:
    return np.concatenate([np.zeros(0), *parts.values()])


def _fit(values: FloatArray, right: FloatArray, centre: FloatArray, spread: FloatArray) -> FloatArray:
    """Most probable (log slope, offset) under a normal prior about ``centre``."""

    def cost(parameters: FloatArray) -> tuple[float, FloatArray]:
        slope, offset = np.exp(parameters[0]), parameters[1]
        logits = slope * values + offset  # (n,)
        pull = (parameters - centre) / spread
        excess = expit(logits) - right  # (n,)
        gradient = np.array([(excess * values).sum() * slope, excess.sum()]) + pull / spread
        return float(np.logaddexp(0, logits).sum() - (right * logits).sum() + (pull**2).sum() / 2), gradient

    return np.asarray(minimize(cost, centre, jac=True, method="BFGS").x)
