"""A cut-off that needs no ground truth: how likely is a pick of a given score what the examples are?

Scores of all candidates are a mixture. One part of it is known a little, from examples scored by the others; the
rest is whatever else the project holds. Expectation-maximisation tells how much of each there is.

Letters: k examples, n candidates, j parts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from tomoseek.network.search_constants import SearchConstants

Scores = NDArray[np.floating[Any]]

SPREAD_WEIGHT = 6.0  # the spread counts as if it had been seen in this many scores
NUM_OTHERS = 3
APART = 1.5  # spreads that the mean of any other part stays below that of the examples'
LOWEST_SCORE = 0.3
NUM_ITERATIONS = 60
SUREST = 1e-4  # probability beyond which log odds are not told apart


@dataclass(frozen=True)
class Cutoff:
    """A threshold, and what is expected at and above it.

    Attributes
    ----------
    threshold
        Lowest score of a pick.
    precision
        Expected share of picks that are what the examples are; None where nobody can tell.
    recall
        Expected share of such candidates that are picked; likewise.
    """

    threshold: float
    precision: float | None
    recall: float | None


def probabilities(scores: Scores, left_out: Scores, constants: SearchConstants) -> Scores:
    """Return for each of ``(n,)`` scores how likely it is that of a particle like the examples; rises with the score.

    Look-alikes that score as the examples do are no part of any mixture, which is therefore too sure of itself: its
    log odds are corrected by what candidates turned out to be on tomograms with known particles.

    Parameters
    ----------
    scores
        Of candidates; those below `LOWEST_SCORE` are taken for background.
    left_out
        ``(k,)``: each example scored by the others; may be empty.
    constants
        Measured with the encoder.

    References
    ----------
    Platt, Probabilistic outputs for support vector machines, 1999.
    """
    likely = mixture_probabilities(scores, left_out, constants)
    corrected = expit(constants.slope * logit(np.clip(likely, SUREST, 1 - SUREST)) + constants.offset)
    return np.where(scores >= LOWEST_SCORE, corrected, 0.0)


def mixture_probabilities(scores: Scores, left_out: Scores, constants: SearchConstants) -> Scores:
    """Return what `probabilities` does, as if nothing else could score like the examples.

    Notes
    -----
    Normal parts; the mean and spread of the examples' part stay near what the examples say, the nearer the more of
    them there are, and no other part may take its place. A score above that mean is no less convincing than the mean
    itself.
    """
    result = np.zeros(len(scores))
    seen = scores >= LOWEST_SCORE
    x = np.asarray(scores[seen], dtype=np.float64)
    if not len(x):
        return result
    if len(left_out):
        mean, mean_weight = float(left_out.mean()), float(len(left_out))
        squares = float(np.square(left_out - mean).sum())
    else:
        mean, squares = constants.mean_of_one, 0.0
        mean_weight = (constants.spread / constants.spread_of_mean) ** 2
    spread_weight = SPREAD_WEIGHT + max(len(left_out) - 1, 0)
    variance = (SPREAD_WEIGHT * constants.spread**2 + squares) / spread_weight

    means = np.array([mean, *np.quantile(x, np.linspace(0.1, 0.8, NUM_OTHERS))])  # j
    spreads = np.array([variance**0.5, *[x.std() / NUM_OTHERS + 0.01] * NUM_OTHERS])
    shares = np.array([0.2, *[0.8 / NUM_OTHERS] * NUM_OTHERS])
    prior_weight = np.array([mean_weight, *[0.0] * NUM_OTHERS])
    for _ in range(NUM_ITERATIONS):
        parts = shares * _normal(x[:, None], means, spreads) + 1e-12  # n j
        belongs = parts / parts.sum(1, keepdims=True)
        total = belongs.sum(0)
        shares = (total + 1) / (total + 1).sum()
        means = (prior_weight * mean + belongs.T @ x) / (prior_weight + total)
        around = (belongs * np.square(x[:, None] - means)).sum(0)
        spreads = np.maximum(np.sqrt(around / total), 0.02)
        known = spread_weight * variance + mean_weight * (mean - means[0]) ** 2
        spreads[0] = np.sqrt((known + around[0]) / (spread_weight + total[0]))
        means[1:] = np.minimum(means[1:], means[0] - APART * spreads[0])

    own = shares[0] * _normal(np.minimum(x, means[0]), means[0], spreads[0])
    others = (shares[1:] * _normal(x[:, None], means[1:], spreads[1:])).sum(1)
    likely = own / (own + others + 1e-12)
    order = np.argsort(x, kind="stable")
    likely[order] = np.maximum.accumulate(likely[order])
    result[seen] = likely
    return result


def _normal(x: Scores, mean: Scores, spread: Scores) -> Scores:
    """Density of the normal distribution; with scipy.stats a query's mixture takes 1.6 times as long."""
    return np.asarray(np.exp(-0.5 * np.square((x - mean) / spread)) / (spread * np.sqrt(2 * np.pi)))


def expected_at(threshold: float, scores: Scores, probability: Scores) -> Cutoff:
    """Say what is expected of the candidates at and above a threshold."""
    picked = scores >= threshold
    found, total = float(probability[picked].sum()), float(probability.sum())
    return Cutoff(threshold, found / picked.sum() if picked.any() else 0.0, found / total if total else 0.0)


def choose_cutoff(scores: Scores, probability: Scores, precision: float | None) -> Cutoff:
    """Choose a threshold.

    Parameters
    ----------
    precision
        Wanted share of true picks: the lowest threshold that promises it, or, where none does, the one that promises
        most. None: the threshold of the best expected F1, the balance of precision and recall.
    """
    if not len(scores):
        return Cutoff(1.0, 0.0, 0.0)
    order = np.argsort(-scores, kind="stable")
    found, picked = np.cumsum(probability[order]), np.arange(1, len(scores) + 1)
    if precision is None:
        last = int(np.argmax(2 * found / (picked + found[-1])))
    else:
        enough = np.flatnonzero(found / picked >= precision)
        last = int(enough[-1]) if len(enough) else int(np.argmax(found / picked))
    return expected_at(float(scores[order[last]]), scores, probability)
