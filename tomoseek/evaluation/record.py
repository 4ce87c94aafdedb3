"""What ``evaluation.json`` says of picks: a row of scores for each class, with intervals, reliability and curves."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoseek.evaluation.intervals import LEVEL, Interval, bootstrap, caveat
from tomoseek.evaluation.ranking import Ranking
from tomoseek.evaluation.reliability import calibration_error, reliability
from tomoseek.evaluation.score import class_scores, hit_distances, run_counts, weighted_f4
from tomoseek.picks.points import Picks

Points = NDArray[np.float64]


def record_scores(
    reference: Mapping[str, Mapping[str, Points]],
    picks: Mapping[str, Mapping[str, Picks]],
    rankings: Mapping[str, Ranking],
    radii: Mapping[str, float],
    weights: Mapping[str, float],
    thresholds: Mapping[str, float],
    num_draws: int,
) -> dict[str, Any]:
    """Score picks of several classes as JSON holds it, null standing for what cannot be said.

    Parameters
    ----------
    reference
        Run to class to ``(n, 3)`` points, x y z in Å.
    picks
        Run to class to the picks that are scored; the same runs and classes.
    rankings
        Class to these picks, or more candidates, as `tomoseek.evaluation.ranking.rank` orders them.
    radii, weights
        By class, radii in Å.
    thresholds
        Class to the least score of a pick, where there is one.
    num_draws
        Of runs, for the intervals; 0 for none.

    Returns
    -------
    ``weighted_f4``, ``weighted_f4_interval``, ``classes``, ``bootstrap``, ``reliability``, ``curves``.
    """
    found = {run: {name: by_class[name].points_xyz for name in radii} for run, by_class in picks.items()}
    scores = class_scores(reference, found, radii)
    intervals = bootstrap(run_counts(reference, found, radii), weights, num_draws)
    classes: dict[str, dict[str, Any]] = {}
    for name, radius in radii.items():
        ranking = rankings[name]
        picked = ranking.scores >= thresholds.get(name, -np.inf)
        distances = np.concatenate([hit_distances(reference[run][name], found[run][name], radius) for run in reference])
        bounds = {"f4": intervals.f4, "precision": intervals.precision, "recall": intervals.recall} if intervals else {}
        classes[name] = {
            **{key: or_null(value) for key, value in scores[name].items()},
            "average_precision": or_null(ranking.average_precision()),
            "best_f1": or_null(ranking.best_f1()),
            "median_localisation_error_angstrom": float(np.median(distances)) if len(distances) else None,
            "mean_localisation_error_angstrom": float(np.mean(distances)) if len(distances) else None,
            **{
                f"{key}_interval": interval_or_null(bounds[key][name]) if bounds else None
                for key in ("f4", "precision", "recall")
            },
            "weight": weights[name],
            "radius_angstrom": radius,
            "expected_calibration_error": calibration_error(reliability(ranking.scores, ranking.right)),
            "expected_calibration_error_of_picks": calibration_error(
                reliability(ranking.scores[picked], ranking.right[picked])
            ),
        }
    bins = {name: reliability(ranking.scores, ranking.right) for name, ranking in rankings.items()}
    return {
        "weighted_f4": or_null(weighted_f4(scores, weights)),
        "weighted_f4_interval": interval_or_null(intervals.weighted_f4) if intervals else None,
        "classes": classes,
        "bootstrap": {"draws": num_draws, "level": LEVEL, "caveat": caveat(len(reference), num_draws)},
        "reliability": {name: held.record() if held else None for name, held in bins.items()},
        "curves": {name: record_curve(ranking) for name, ranking in rankings.items()},
    }


def record_curve(ranking: Ranking) -> dict[str, list[float | None]]:
    """Return a precision-recall curve as JSON holds it."""
    columns = ranking.precision_recall()._asdict()
    return {key: [or_null(round(float(value), 5)) for value in column] for key, column in columns.items()}


def or_null(value: float) -> float | None:
    """Return a number as JSON can hold it: null where nothing can be said."""
    return None if math.isnan(value) else value


def interval_or_null(interval: Interval) -> list[float] | None:
    """Return an interval as JSON can hold it: null where nothing can be said."""
    return None if math.isnan(interval[0]) else list(interval)
