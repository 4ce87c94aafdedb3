"""How strongly a tomogram shows its particles: rendered as strongly, a structure is as dense as what it looks like.

Every protein has one density, so all structures of a query share one strength. Of the particle-like places those that a
structure looks most like are about its size, whatever they are; as dense as they are it has to be rendered.

Letters: n renderings, p places, e embedding dimensions, s shells.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from embed.density_profile import shell_volumes
from embed.prototype import mean_direction
from embed.structure.rendering import Renderings

TRIED = (0.5, 12.0)  # in the unit of `embed.structure.rendering.render`
STRENGTHS = np.geomspace(TRIED[0], TRIED[1], 41)
SPREAD = 0.25  # of the logarithm of strengths that are taken for one
NUM_BEST = 10  # places that may be the structure
AGREED = 0.15  # of the logarithm of strengths that confirm each other
CHOSEN = 0.9  # the likest places are the densest of their kind; between the best on bright and dim ones

Floats = NDArray[np.float32]


def find_strength(
    tried: Iterable[tuple[Renderings, float]], places: Floats, shells: Floats, voxel_spacing: float
) -> float | None:
    """Return the strength that most structures agree on, in the unit of `TRIED`; None where none can be told.

    Parameters
    ----------
    tried
        Renderings of each structure at all of `TRIED`, and its radius in Å.
    places, shells
        ``(p, e)`` vectors of particle-like places, and ``(p, s)`` densities around them.
    voxel_spacing
        Å, of the embedded tomograms.
    """
    found = [equally_dense(each, places, shells, shell_volumes(radius, voxel_spacing)) for each, radius in tried]
    crossed = np.log(np.concatenate([*found, np.zeros(0)]))
    if not len(crossed):
        return None
    agreement = np.exp(-0.5 * np.square((np.log(STRENGTHS)[:, None] - crossed) / AGREED)).sum(1)
    return CHOSEN * float(STRENGTHS[int(np.argmax(agreement))])


def equally_dense(
    renderings: Renderings, places: Floats, shells: Floats, volumes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the strengths at which one structure is as dense as the places that it then looks most like.

    There may be several: a small structure that is rendered far too strongly looks like a larger one.

    Parameters
    ----------
    volumes
        ``(s,)``: of the shells that are compared, 0 for others.
    """
    excess = np.array([np.log(max(_gain(renderings, at, places, shells, volumes), 1e-3)) for at in STRENGTHS])
    before = np.flatnonzero((excess[:-1] > 0) & (excess[1:] <= 0))
    share = excess[before] / (excess[before] - excess[before + 1])
    return np.asarray(STRENGTHS[before] * (STRENGTHS[before + 1] / STRENGTHS[before]) ** share)


def _gain(
    renderings: Renderings, strength: float, places: Floats, shells: Floats, volumes: NDArray[np.float64]
) -> float:
    """How dense the places are that renderings of about a strength look most like, over the renderings themselves."""
    weights = np.exp(-0.5 * np.square(np.log(renderings.strength / strength) / SPREAD))
    weights = (weights / weights.sum())[:, None]
    mean = mean_direction(renderings.vectors * weights * len(weights))
    profile = (renderings.shells * weights).sum(0)
    matched = volumes * (profile - volumes @ profile / volumes.sum())
    best = np.argsort(places @ mean)[-NUM_BEST:]
    own = float(matched @ profile)
    return float(matched @ shells[best].mean(0)) / own if own > 0 else 0.0
