"""What a search has to know of an encoder before it may promise anything."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConstants:
    """Measured with one encoder on tomograms with known particles (``embed calibrate``); they travel with its weights.

    Attributes
    ----------
    slope, offset
        Of the correction of log odds: how sure the mixture of scores is, and how sure it may be.
    mean_of_one, spread_of_mean
        What true particles score by a single example: mean over searches, and its standard deviation between them.
    spread
        Standard deviation of the scores of true particles within one search.
    recentre_gain
        Logits of the particle score that an example has to gain for being moved onto a particle beside it; None where
        the particle score does not tell centres from places beside them, and no example is moved.
    measured_on
        The tomograms, in words.
    """

    slope: float
    offset: float
    mean_of_one: float
    spread_of_mean: float
    spread: float
    recentre_gain: float | None
    measured_on: str
