"""How strongly a tomogram shows its particles, told by where renderings look most like what is there.

Every protein has one density, so all structures of a query share one strength. Rendered too weakly or too strongly, a
structure resembles the particles of the tomogram less than it resembles itself.

Letters: n renderings, p places, e embedding dimensions.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from embed.prototype import mean_direction
from embed.structure.rendering import Renderings

TRIED = (0.7, 25.0)  # in the unit of `embed.structure.rendering.render`
STRENGTHS = np.geomspace(TRIED[0] * 1.1, TRIED[1] / 1.1, 49)
SPREAD = 0.2  # of the logarithm of strengths that are taken for one
NUM_BEST = 10  # places that may be the structure
LEAST_ALIKE = 0.7  # of such places, over the renderings themselves

Floats = NDArray[np.float32]


def likeness_by_strength(renderings: Renderings, places: Floats) -> NDArray[np.float64]:
    """For each of `STRENGTHS`: how alike the renderings are to the likest of ``(p, e)`` places, over each other."""
    ratios = []
    for strength in STRENGTHS:
        weights = np.exp(-0.5 * np.square(np.log(renderings.strength / strength) / SPREAD))
        mean = mean_direction(renderings.vectors * weights[:, None] / weights.mean())
        own = float(np.average(renderings.vectors @ mean, weights=weights))
        best = np.sort(places @ mean)[-NUM_BEST:]
        ratios.append(float(best.mean()) / max(own, 1e-6))
    return np.array(ratios)


def find_strength(renderings: Iterable[Renderings], places: Floats) -> float | None:
    """Return the strength at which structures look most like what the tomograms hold; None where they never do.

    It is the strongest at which likeness has a maximum: far weaker renderings look like the faintest of what is there,
    whatever that is.
    """
    likeness = np.mean([likeness_by_strength(each, places) for each in renderings], axis=0)
    inner = likeness[1:-1]
    peaks = (inner >= likeness[:-2]) & (inner >= likeness[2:]) & (inner >= LEAST_ALIKE)
    return float(STRENGTHS[1:-1][peaks][-1]) if peaks.any() else None
