"""From a prototype and the shard of one run to a map of scores, in which peaks are finds.

Letters: k examples, n cells, e embedding dimensions.
"""

import numpy as np
from numpy.typing import NDArray

from embed.prototype import Prototype
from embed.shard import Shard

PARTICLE_MARGIN = 2.0  # logits below the lowest of the examples that are searched too
RENDERED_MARGIN = 1.5  # logits below the renderings that true particles may lie; they look more like particles
ROUNDING = 1e-4  # of products in float32


def lowest_logit(particle_logit: NDArray[np.float32], margin: float | None) -> float:
    """Return the lowest particle logit that is searched: a margin below the lowest of ``(k,)`` examples.

    Never above 0 (even odds). An untrained particle head, whose logits hardly differ, hides nothing.
    """
    return -np.inf if margin is None else min(0.0, float(particle_logit.min()) - margin)


def similarity_map(
    shard: Shard, prototype: Prototype, threshold: float, least_logit: float, num_candidates: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return two ``(z, y, x)`` maps around the best cells of a run, low everywhere else: scores, and likeness alone.

    FAISS finds the candidates. Their neighbours are decoded as well, so that every candidate can be refined
    below the size of a cell; one that the particle floor hides is kept just under the threshold in the scores, so
    that it is no pick itself, and has its true value in the second map, which shapes the fit.
    """
    direction, lowest = prototype.at_least(threshold)
    rows = shard.nearest(direction, num_candidates, least_logit, lowest - ROUNDING)
    scores = prototype.score(shard.read_vectors(rows))
    kept = scores >= threshold
    score_map = np.full(shard.grid, min(0.0, threshold) - 1.0, dtype=np.float32)
    if not kept.any():
        return score_map, score_map
    candidates = shard.cells_zyx(rows[kept])
    score_map[tuple(candidates.T)] = scores[kept]
    around = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    neighbours = shard.rows((candidates[:, None] + around).reshape(-1, 3))
    is_beside = np.zeros(len(shard), dtype=bool)
    is_beside[neighbours[neighbours >= 0]] = True
    is_beside[rows[kept]] = False
    beside = np.flatnonzero(is_beside)
    values = prototype.score(shard.read_vectors(beside))
    hidden = shard.particle_logit(beside) < least_logit
    ceiling = np.nextafter(np.float32(threshold), np.float32(-np.inf))
    likeness = score_map.copy()
    where = tuple(shard.cells_zyx(beside).T)
    likeness[where] = values
    score_map[where] = np.where(hidden, np.minimum(values, ceiling), values)
    return score_map, likeness
