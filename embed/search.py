"""From a prototype and one run's shard to ranked, localised picks.

Letters: k examples, n cells, e embedding dimensions.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embed.prototype import Prototype
from embed.shard import Shard
from tomoseek.errors import InputError

PARTICLE_MARGIN = 2.0  # logits below the lowest of the examples that are searched too
ROUNDING = 1e-4  # of products in float32


@dataclass(frozen=True)
class Examples:
    """``(k, e)`` unit vectors and ``(k,)`` particle logits read at the example points."""

    vectors: NDArray[np.float32]
    particle_logit: NDArray[np.float32]


def merge_examples(examples: Iterable[Examples]) -> Examples:
    """Put the examples of several runs together."""
    parts = list(examples)
    return Examples(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.particle_logit for part in parts]),
    )


def checked_points(points_xyz: ArrayLike, run: str) -> NDArray[np.float64]:
    """Return ``(k, 3)`` finite points.

    Raises
    ------
    InputError
        If there is none, or one is no x y z triple of finite numbers.
    """
    expected = f"run {run}: expected example points [[x,y,z],...] in Å"
    try:
        points = np.asarray(points_xyz, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{expected}, found {points_xyz!r}; give three numbers for each") from error
    if points.size == 0:
        raise InputError(f"{expected}, found none; give at least one")
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputError(f"{expected}, found shape {points.shape}; give three numbers for each")
    bad = np.flatnonzero(~np.isfinite(points).all(1))
    if len(bad):
        raise InputError(f"{expected}, found {points[bad[0]].tolist()}, which is not finite; correct it")
    return points


def particle_floor(particle_logit: NDArray[np.float32], margin: float | None) -> float:
    """Return the lowest particle logit that is searched: a margin below the lowest of ``(k,)`` examples.

    Never above 0 (even odds). An untrained particle head, whose logits hardly differ, hides nothing.
    """
    return -np.inf if margin is None else min(0.0, float(particle_logit.min()) - margin)


def similarity_map(
    shard: Shard, prototype: Prototype, threshold: float, floor: float, num_candidates: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return two ``(z, y, x)`` maps around the best cells of a run, low everywhere else: scores, and likeness alone.

    FAISS finds the candidates. Their neighbours are decoded as well, so that every candidate can be refined
    below the size of a cell; one that the particle floor hides is kept just under the threshold in the scores, so
    that it is no pick itself, and has its true value in the second map, which shapes the fit.
    """
    direction, lowest = prototype.at_least(threshold)
    rows = shard.nearest(direction, num_candidates, floor, lowest - ROUNDING)
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
    hidden = shard.particle_logit(beside) < floor
    ceiling = np.nextafter(np.float32(threshold), np.float32(-np.inf))
    likeness = score_map.copy()
    where = tuple(shard.cells_zyx(beside).T)
    likeness[where] = values
    score_map[where] = np.where(hidden, np.minimum(values, ceiling), values)
    return score_map, likeness
