"""A promise that tightens: what is expected of picks once some candidates were judged right or wrong.

Before any judgement, a search gives each candidate log odds of being right. They may all be too high or too low, and
too sure or not sure enough: an offset and a slope, of which is known how far they are off from search to search.
Judgements are what is observed of them (logistic regression). What is known then is worked out on a grid of both, and
gives intervals.

Letters: n candidates, d draws, 2 parameters (logarithm of the slope, offset).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import norm
from scipy.stats import t as student

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

# Of the parameters: a normal distribution of the first, and of the second one with long tails (Student's, three degrees
# of freedom), for some searches are quite wrong.
SPREAD_OF_PROMISED = (0.4, 1.2)  # where the search promises something
SPREAD_OF_UNPROMISED = (0.8, 3.0)  # and where it does not
FREEDOM = 3.0
GRID = (np.linspace(-3, 3, 31), np.linspace(-8, 8, 161))  # in these spreads
# Where nothing is promised: log odds of what scores as the mean example does, or more (there is denser stuff than most
# particles), and of what scores less, per unit; 0 is background.
LIKE_EXAMPLES, STEEPNESS = -1.5, 6.0
WEIGHT = 0.5  # of a judgement: the most telling places are alike, and tell less than as many drawn at random
SUREST = 1e-3  # probability beyond which log odds are not told apart
INTERVAL = (5.0, 95.0)  # percent
HALF_INTERVAL = 1.645  # standard deviations on either side that hold 90 %
NUM_DRAWS = 400
WANTED = 0.05  # half of an interval that is worth the wait
LOOK_AHEAD = 60  # judgements that are looked ahead


@dataclass(frozen=True)
class Expected:
    """What is expected of the candidates from a threshold on: the median, and an interval of 90 %."""

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
    draws
        ``(d, 2)`` of the parameters, as likely as they are after the judgements.
    """

    log_odds: Floats
    right: Floats
    draws: Floats

    @cached_property
    def _likely(self) -> Floats:
        """``(d, n)``: of each draw, how likely each candidate is right."""
        return np.asarray(expit(np.exp(self.draws[:, :1]) * self.log_odds + self.draws[:, 1:]))

    @cached_property
    def probability(self) -> Floats:
        """Of each candidate to be right, ``(n,)``; 1 or 0 where it was judged."""
        return np.where(np.isnan(self.right), self._likely.mean(0), np.nan_to_num(self.right))

    def expected(self, picked: Bools) -> Expected:
        """Say what is expected of some of the candidates.

        Parameters
        ----------
        picked
            ``(n,)``: which of them are picks.
        """
        random = np.random.default_rng(0)  # the same answer to the same question
        unknown = np.isnan(self.right)
        counts = {}
        for key, chosen in (("picks", picked), ("others", ~picked)):
            known = float(np.nansum(self.right[chosen]))
            likely = self._likely[:, chosen & unknown]
            counts[key] = known + (random.random(likely.shape) < likely).sum(1)
        total = int(picked.sum())
        precision = counts["picks"] / max(total, 1)
        recall = counts["picks"] / np.maximum(counts["picks"] + counts["others"], 1e-9)
        middle = float(np.median(precision)), float(np.median(recall))
        return Expected(middle[0], _interval(precision), middle[1], _interval(recall), total)

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
        left = np.flatnonzero(unknown)
        covariance = np.cov(self.draws.T)
        weight = (self._likely * (1 - self._likely)).mean(0)  # the whole spread of draws counts, not their mean alone
        told = WEIGHT * weight  # by a judgement
        slope = float(np.exp(self.draws[:, 0]).mean())
        gradient = np.stack([slope * self.log_odds, np.ones(len(weight))], 1)  # n 2, of the log odds
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
            through = np.square(gradient[left] @ (covariance @ wanted)) * told[left]
            through /= 1 + told[left] * np.einsum("nj,jk,nk->n", gradient[left], covariance, gradient[left])
            itself = np.where(still[left], weight[left] / size**2, 0.0)
            best = int(left[np.argmax(through + itself)])
            chosen.append(best)
            seen = covariance @ gradient[best]
            covariance -= np.outer(seen, seen) * told[best] / (1 + told[best] * gradient[best] @ seen)
            left, still[best] = left[left != best], False


def num_needed(widths: Floats) -> int | None:
    """Return how many judgements bring the interval to `WANTED`, by the widths of `JudgedPromise.most_telling`."""
    enough = np.flatnonzero(widths <= WANTED)
    return int(enough[0]) if len(enough) else None


def odds_before(scores: ArrayLike, probability: ArrayLike | None) -> Floats:
    """Return the log odds ``(n,)`` of candidates before any judgement, see `judge`."""
    if probability is None:
        return LIKE_EXAMPLES + STEEPNESS * (np.minimum(np.asarray(scores, dtype=np.float64), 1.0) - 1)
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
    Platt, Probabilistic outputs for support vector machines, 1999: the two parameters.
    """
    spread = SPREAD_OF_UNPROMISED if probability is None else SPREAD_OF_PROMISED
    odds = odds_before(scores, probability)
    known = np.asarray(right, dtype=np.float64)
    seen = ~np.isnan(known)
    x, y = (odds[seen], known[seen]) if observed is None else observed
    grid = np.stack(np.meshgrid(spread[0] * GRID[0], spread[1] * GRID[1], indexing="ij"), -1).reshape(-1, 2)
    logits = np.exp(grid[:, :1]) * x + grid[:, 1:]  # g m
    likelihood = WEIGHT * (y * logits - np.logaddexp(0, logits)).sum(1)
    prior = norm.logpdf(grid[:, 0] / spread[0]) + student.logpdf(grid[:, 1] / spread[1], FREEDOM)
    weights = np.exp(likelihood + prior - (likelihood + prior).max())
    # Evenly through all that is likely, so that the same judgements always give the same answer.
    places = np.searchsorted(np.cumsum(weights) / weights.sum(), (np.arange(NUM_DRAWS) + 0.5) / NUM_DRAWS)
    return JudgedPromise(odds, known, grid[np.minimum(places, len(grid) - 1)])


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.percentile(values, INTERVAL)
    return float(low), float(high)
