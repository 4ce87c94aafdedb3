"""A promise that tightens: what is expected of picks once some candidates were judged right or wrong.

Before any judgement, a search gives each candidate log odds of being right. They may all be too high or too low, and
too sure or not sure enough: an offset and a slope, about which nothing more is known than a normal prior. Judgements
are what is observed of them (logistic regression), and a normal approximation of what is known then gives intervals.

Letters: n candidates, 2 parameters (logarithm of the slope, offset).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

SPREAD_OF_PROMISED = np.array([0.5, 2.0])  # of the parameters, where the search promises something
SPREAD_OF_UNPROMISED = np.array([0.8, 3.0])  # and where it does not
STEEPNESS = 6.0  # log odds per unit of score, where nothing is promised: 0 is background, 1 the mean example
SUREST = 1e-3  # probability beyond which log odds are not told apart
INTERVAL = (5.0, 95.0)  # percent
HALF_INTERVAL = 1.645  # standard deviations on either side that hold 90 %
NUM_DRAWS = 400


@dataclass(frozen=True)
class Expected:
    """What is expected of the candidates from a threshold on: the mean, and an interval of 90 %."""

    precision: float
    precision_interval: tuple[float, float]
    recall: float
    recall_interval: tuple[float, float]
    num_picks: int


@dataclass(frozen=True)
class JudgedPromise:
    """What is known of the candidates of a search after some judgements.

    Attributes
    ----------
    log_odds
        ``(n,)`` before any judgement.
    right
        ``(n,)``: 1 for right, 0 for wrong, NaN where nobody has judged.
    mean, covariance
        ``(2,)`` and ``(2, 2)`` of the parameters.
    """

    log_odds: Floats
    right: Floats
    mean: Floats
    covariance: Floats

    @property
    def probability(self) -> Floats:
        """Of each candidate to be right, ``(n,)``; 1 or 0 where it was judged."""
        return np.where(np.isnan(self.right), _probability(self.log_odds, self.mean), np.nan_to_num(self.right))

    def expected(self, picked: Bools) -> Expected:
        """Say what is expected of some of the candidates.

        Parameters
        ----------
        picked
            ``(n,)``: which of them are picks.
        """
        draws = np.random.default_rng(0)  # the same answer to the same question
        parameters = draws.multivariate_normal(self.mean, self.covariance, NUM_DRAWS)
        unknown = np.isnan(self.right)
        counts = {}
        for key, chosen in (("picks", picked), ("others", ~picked)):
            known = float(np.nansum(self.right[chosen]))
            likely = np.stack([_probability(self.log_odds[chosen & unknown], each) for each in parameters])
            counts[key] = known + (draws.random(likely.shape) < likely).sum(1)
        total = int(picked.sum())
        precision = counts["picks"] / max(total, 1)
        recall = counts["picks"] / np.maximum(counts["picks"] + counts["others"], 1e-9)
        return Expected(float(precision.mean()), _interval(precision), float(recall.mean()), _interval(recall), total)

    def most_telling(self, picked: Bools, count: int) -> tuple[NDArray[np.int64], Floats]:
        """Choose candidates whose judgement would narrow the expected precision of the picks most, in order.

        A judgement tells of all candidates, through the parameters, and of itself, if it is a pick. Each choice
        reckons with those before it.

        Parameters
        ----------
        picked
            ``(n,)``: which candidates are picks.
        count
            How many to choose; fewer where fewer are left.

        Returns
        -------
        tuple
            ``(m,)`` candidates, and ``(m + 1,)``: half the interval of 90 % around the expected precision before the
            first judgement and after each.
        """
        unknown = np.isnan(self.right)
        covariance, left = self.covariance.copy(), np.flatnonzero(unknown)
        likely = _probability(self.log_odds, self.mean)
        weight = likely * (1 - likely)
        gradient = np.stack([np.exp(self.mean[0]) * self.log_odds, np.ones(len(likely))], 1)  # n 2, of the log odds
        size = max(int(picked.sum()), 1)
        still = picked & unknown
        chosen: list[int] = []
        widths = []
        while True:
            wanted = (gradient * (weight * still)[:, None]).sum(0) / size  # 2, of the expected precision
            variance = wanted @ covariance @ wanted + weight[still].sum() / size**2
            widths.append(HALF_INTERVAL * float(np.sqrt(variance)))
            if len(chosen) == count or not len(left):
                return np.array(chosen, dtype=np.int64), np.array(widths)
            through = np.square(gradient[left] @ (covariance @ wanted)) * weight[left]
            through /= 1 + weight[left] * np.einsum("nj,jk,nk->n", gradient[left], covariance, gradient[left])
            itself = np.where(still[left], weight[left] / size**2, 0.0)
            best = int(left[np.argmax(through + itself)])
            chosen.append(best)
            seen = covariance @ gradient[best]
            covariance -= np.outer(seen, seen) * weight[best] / (1 + weight[best] * gradient[best] @ seen)
            left, still[best] = left[left != best], False


def odds_before(scores: ArrayLike, probability: ArrayLike | None) -> Floats:
    """Return the log odds ``(n,)`` of candidates before any judgement, see `judge`."""
    if probability is None:
        return STEEPNESS * (np.asarray(scores, dtype=np.float64) - 1)
    return np.asarray(logit(np.clip(np.asarray(probability, dtype=np.float64), SUREST, 1 - SUREST)))


def judge(
    scores: ArrayLike, probability: ArrayLike | None, right: ArrayLike, observed: tuple[Floats, Floats] | None = None
) -> JudgedPromise:
    """Learn from judgements.

    Parameters
    ----------
    scores
        ``(n,)`` of the candidates.
    probability
        ``(n,)``: how likely each is right, as the search says; None where it promises nothing.
    right
        ``(n,)``: 1 for right, 0 for wrong, NaN where nobody has judged.
    observed
        Log odds ``(m,)`` that judged places had when they were judged, and whether they were right: what is learned
        from. Needed where judged finds have become examples and negatives of a new search, which then knows them; left
        out, the candidates that were judged are learned from.

    References
    ----------
    MacKay, The evidence framework applied to classification networks, 1992: the normal approximation.
    """
    spread = SPREAD_OF_UNPROMISED if probability is None else SPREAD_OF_PROMISED
    odds = odds_before(scores, probability)
    known = np.asarray(right, dtype=np.float64)
    seen = ~np.isnan(known)
    x, y = (odds[seen], known[seen]) if observed is None else observed

    def cost(parameters: Floats) -> tuple[float, Floats]:
        slope = np.exp(parameters[0])
        logits = slope * x + parameters[1]
        excess = expit(logits) - y
        pull = parameters / spread
        gradient = np.array([(excess * x).sum() * slope, excess.sum()]) + pull / spread
        return float(np.logaddexp(0, logits).sum() - (y * logits).sum() + np.square(pull).sum() / 2), gradient

    mean = np.asarray(minimize(cost, np.zeros(2), jac=True, method="BFGS").x)
    slope = np.exp(mean[0])
    likely = expit(slope * x + mean[1])
    per = np.stack([slope * x, np.ones(len(x))], 1)
    information = np.diag(spread**-2.0) + (per * (likely * (1 - likely))[:, None]).T @ per
    return JudgedPromise(odds, known, mean, np.linalg.inv(information))


def _probability(log_odds: Floats, parameters: Floats) -> Floats:
    return np.asarray(expit(np.exp(parameters[0]) * log_odds + parameters[1]))


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.percentile(values, INTERVAL)
    return float(low), float(high)
