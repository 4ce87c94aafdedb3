"""What of several objects is in the tomograms, the surest first."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from embed.search import Found

FEWEST = 2.0  # particles expected, from which an object is said to be there
LEAST_PRECISION = 0.5  # of its picks, as expected
LOOKS_LIKE = 0.7  # cosine from which another object is named
LIKELY_SCORE = 0.6  # of the best find, from which an object may be there though nothing says so
THERE, MAYBE, UNTOLD, NOT_SEEN = "there", "perhaps: look", "nothing promised", "no sign of it"


@dataclass(frozen=True)
class Summary:
    """An object in one line.

    Attributes
    ----------
    name
        Of the object.
    verdict
        `THERE`: its picks are expected to be right; `MAYBE`: that is not promised, but some finds look much like it;
        `NOT_SEEN`; or `UNTOLD`, where nothing is promised at all.
    expected_number
        Of true particles among all candidates; None where nothing is promised.
    expected_precision
        Of the picks.
    num_picks
        Above the threshold.
    best_score
        0 is background, 1 the mean example.
    looks_like
        Other objects that the encoder hardly tells from it.
    """

    name: str
    verdict: str
    expected_number: float | None
    expected_precision: float | None
    num_picks: int
    best_score: float
    looks_like: tuple[str, ...]


def summarise(found: Mapping[str, Found], alike: Mapping[str, Mapping[str, float]]) -> list[Summary]:
    """Sum each object up; those that are there come first, then those of which nothing is promised.

    Parameters
    ----------
    found
        By object.
    alike
        By object, its likeness to every other.
    """
    summaries = []
    for name, each in found.items():
        number = None if each.probability is None else float(sum(one.sum() for one in each.probability.values()))
        precision = each.cutoff.precision
        others = tuple(other for other, likeness in alike.get(name, {}).items() if likeness >= LOOKS_LIKE)
        best = max((float(picks.scores.max()) for picks in each.candidates.values() if len(picks)), default=0.0)
        num_picks = sum(map(len, each.by_run.values()))
        if number is None:
            verdict = UNTOLD
        elif number >= FEWEST and (precision or 0.0) >= LEAST_PRECISION:
            verdict = THERE
        else:
            verdict = MAYBE if best >= LIKELY_SCORE else NOT_SEEN
        summaries.append(Summary(name, verdict, number, precision, num_picks, best, others))
    order = (THERE, UNTOLD, MAYBE, NOT_SEEN)
    return sorted(summaries, key=lambda one: (order.index(one.verdict), -(one.expected_number or 0.0), -one.best_score))


def as_table(summaries: list[Summary]) -> pd.DataFrame:
    """Return a row for each object: ``object, verdict, expected_number, expected_precision, picks, looks_like``."""
    return pd.DataFrame(
        {
            "object": one.name,
            "verdict": one.verdict,
            "expected_number": None if one.expected_number is None else round(one.expected_number, 1),
            "expected_precision": None if one.expected_precision is None else round(one.expected_precision, 2),
            "picks": one.num_picks,
            "best_score": round(one.best_score, 2),
            "looks_like": " ".join(one.looks_like),
        }
        for one in summaries
    )
