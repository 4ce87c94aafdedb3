"""How far the scores would move with other tomograms: bootstrap over runs.

Letters: r runs, c classes, d draws.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tomoseek.evaluation.score import BETA, Counts

FloatArray = NDArray[np.float64]
Interval = tuple[float, float]

LEVEL = 0.95
SEED = 0
FEW_RUNS = 5


@dataclass(slots=True)
class Intervals:
    """95 % intervals of the weighted F4, and per class of F4, precision and recall; NaN where nothing can be said."""

    weighted_f4: Interval
    f4: dict[str, Interval]
    precision: dict[str, Interval]
    recall: dict[str, Interval]


def caveat(num_runs: int, num_draws: int) -> str | None:
    """Say why there are no intervals, or why they are rough; None when neither."""
    if num_draws == 0:
        return "no intervals: bootstrap=0 turned them off"
    if num_runs < 2:
        return "no intervals: they come from drawing runs anew, and a single run cannot be; score more runs"
    if num_runs < FEW_RUNS:
        return f"intervals from {num_runs} runs are rough, and most likely too narrow; score more runs"
    return None


def bootstrap(
    counts_of: Mapping[str, Mapping[str, Counts]], weights: Mapping[str, float], num_draws: int
) -> Intervals | None:
    """Draw the runs with replacement, and take the middle 95 % of each score over the draws.

    Whole runs are drawn, since particles of one tomogram share its ice, dose and alignment. Nothing is counted
    anew: a draw's counts are those of its runs added up.

    Parameters
    ----------
    counts_of
        Class to run to counts, see `tomoseek.evaluation.score.run_counts`.
    weights
        Class to weight in the mean F4.
    num_draws
        How many times the runs are drawn; 0 for none.

    Returns
    -------
    None with fewer than two runs, or without draws. Draws in which a score has no meaning are left out of its
    interval: F4 without references and picks, recall without references, precision without picks.
    """
    runs = list(next(iter(counts_of.values()), {}))
    if num_draws == 0 or len(runs) < 2:
        return None
    counts = np.array([[by_run[run] for by_run in counts_of.values()] for run in runs])  # (r, c, 3)
    times_drawn = draw_runs(len(runs), num_draws)  # (d, r)
    tp, fp, fn = np.moveaxis(np.tensordot(times_drawn, counts, axes=1), -1, 0)  # each (d, c)
    with np.errstate(invalid="ignore"):
        precision, recall = tp / (tp + fp), tp / (tp + fn)  # (d, c)
        # The same as f_beta, which is 0 where nothing is hit, written in counts.
        f4 = (1 + BETA**2) * tp / ((1 + BETA**2) * tp + BETA**2 * fn + fp)  # (d, c)
    names = list(counts_of)
    return Intervals(
        middle_of_draws(weighted_mean(f4, [weights[name] for name in names])),
        *(
            {name: middle_of_draws(values) for name, values in zip(names, score.T, strict=True)}
            for score in (f4, precision, recall)
        ),
    )


def draw_runs(num_runs: int, num_draws: int) -> NDArray[np.int64]:
    """How often each run is in each draw: ``(d, r)``, rows adding up to r; always the same draws."""
    return np.random.default_rng(SEED).multinomial(num_runs, np.full(num_runs, 1 / num_runs), size=num_draws)


def weighted_mean(f4: FloatArray, weights: Sequence[float]) -> FloatArray:
    """Weighted mean over the classes of ``(d, c)`` that are not NaN: ``(d,)``."""
    share = np.where(np.isnan(f4), 0.0, np.asarray(weights))  # (d, c)
    with np.errstate(invalid="ignore"):
        return np.asarray((np.nan_to_num(f4) * share).sum(axis=1) / share.sum(axis=1))


def middle_of_draws(values: FloatArray) -> Interval:
    """Bounds of the middle 95 % of the values that are not NaN."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
