"""What a project holds anyway, seen without any example: background, and the kinds of particle-like things.

Letters: n vectors, r rivals, e embedding dimensions.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from embed.shard import Shard

Vectors = NDArray[np.floating[Any]]

NUM_BACKGROUND = 20_000
NUM_RIVALS = 32
MOST_PLACES = 20_000
PLACES_PER_RIVAL = 8
NEIGHBOURHOOD = 5  # cells


@dataclass(frozen=True)
class Surroundings:
    """Vectors ``(n, e)`` drawn at random, nearly all background, and rivals ``(r, e)``, see `rival_vectors`."""

    background: Vectors
    rivals: Vectors


def measure_surroundings(shards: Iterable[Shard], num_shards: int, seed: int = 0) -> Surroundings:
    """Look at ``num_shards`` shards, one at a time: nearly all of a tomogram is background, a few places are not."""
    generator = np.random.default_rng(seed)
    background, places = [], []
    for shard in shards:
        rows = generator.integers(0, len(shard.cells_zyx), NUM_BACKGROUND // num_shards)
        background.append(shard.read_vectors(np.unique(rows)))
        found = particle_places(shard)
        places.append(shard.read_vectors(generator.permutation(found)[: MOST_PLACES // num_shards]))
    return Surroundings(np.concatenate(background), rival_vectors(np.concatenate(places)))


def particle_places(shard: Shard) -> NDArray[np.int64]:
    """Return the rows of `likely_cells`."""
    return shard.rows(likely_cells(logit_map(shard)))


def logit_map(shard: Shard) -> NDArray[np.float32]:
    """Lay the particle logits out as a ``(z, y, x)`` map, minus infinity where no cell is stored."""
    logits = np.full(shard.grid, -np.inf, dtype=np.float32)
    logits[tuple(shard.cells_zyx.T)] = shard.particle_logit
    return logits


def likely_cells(particle_logit: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the ``(n, 3)`` cells of a ``(z, y, x)`` map above even odds that are highest among those around them."""
    highest = ndimage.maximum_filter(particle_logit, size=NEIGHBOURHOOD, mode="nearest")
    return np.argwhere((particle_logit == highest) & (particle_logit > 0))


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
