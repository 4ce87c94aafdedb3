"""What a project holds anyway, seen without any example: background, and the kinds of particle-like things.

Letters: n vectors, r rivals, e embedding dimensions, s shells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from embed.shard import Shard
from embed.threads import in_threads
from tomoseek.picks.peaks import local_maxima

Vectors = NDArray[np.floating[Any]]

NUM_BACKGROUND = 8_192
NUM_RIVALS = 32
MOST_PLACES = 20_000
PLACES_PER_RIVAL = 8
REACH = 2  # cells around a likely one, none of which is likelier
STRETCH = 64  # rows


@dataclass(frozen=True)
class Surroundings:
    """Vectors ``(n, e)`` drawn at random, nearly all background, and rivals ``(r, e)``, see `rival_vectors`."""

    background: Vectors
    rivals: Vectors


def measure_surroundings(shards: Sequence[Shard], seed: int = 0) -> Surroundings:
    """Look at a few shards: nearly all of a tomogram is background, a few places are not."""

    def look(number: int) -> tuple[Vectors, Vectors]:
        shard, generator = shards[number], np.random.default_rng([seed, number])
        chosen = generator.permutation(particle_places(shard))[: MOST_PLACES // len(shards)]
        background = spread_rows(len(shard), NUM_BACKGROUND // len(shards))
        return shard.read_vectors(background), shard.read_vectors(chosen)

    background, places = zip(*in_threads(look, range(len(shards))), strict=True)
    return Surroundings(np.concatenate(background), rival_vectors(np.concatenate(places)))


def shells_anywhere(shards: Sequence[Shard]) -> NDArray[np.float32]:
    """Return ``(n, s)`` densities around places spread over a few shards."""
    return np.concatenate(
        [shard.read_shells(spread_rows(len(shard), NUM_BACKGROUND // len(shards))) for shard in shards]
    )


def particle_places(shard: Shard) -> NDArray[np.int64]:
    """Return the rows of `likely_cells`."""
    return shard.rows(likely_cells(logit_map(shard)))


def spread_rows(num_rows: int, count: int) -> NDArray[np.int64]:
    """Choose about ``count`` rows, in short stretches evenly spread over all of them: so few blocks are read.

    Rows lie by particle logit, so that the choice has the logits that the tomogram has.
    """
    starts = np.linspace(0, max(0, num_rows - STRETCH), max(1, count // STRETCH)).astype(np.int64)
    rows = np.unique(starts[:, None] + np.arange(STRETCH))
    return rows[rows < num_rows]


def logit_map(shard: Shard) -> NDArray[np.float32]:
    """Lay the particle logits above even odds out as a ``(z, y, x)`` map, minus infinity elsewhere."""
    rows = shard.rows_above(0.0)
    logits = np.full(shard.grid, -np.inf, dtype=np.float32)
    logits[tuple(shard.cells_zyx(rows).T)] = shard.particle_logit(rows)
    return logits


def likely_cells(particle_logit: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the ``(n, 3)`` cells of a ``(z, y, x)`` map above even odds that are highest among those around them."""
    return local_maxima(particle_logit, 0.0, REACH)


def rival_vectors(places: Vectors) -> Vectors:
    """Return ``(r, e)`` centres of the clusters of ``(n, e)`` vectors of particle-like places.

    They are the kinds of things that a search has to tell the examples from. Of too few places to cluster there are
    none: with an untrained particle head, or in an empty tomogram.
    """
    count = min(NUM_RIVALS, len(places) // PLACES_PER_RIVAL)
    if count < 2:
        return places[:0]
    clusters = faiss.Kmeans(places.shape[1], count, niter=25, spherical=True, seed=1, min_points_per_centroid=1)
    clusters.train(np.ascontiguousarray(places, dtype=np.float32))
    return np.asarray(clusters.centroids)
