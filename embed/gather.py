"""What an encoder streams out, block by block, becomes the shard of a run.

Letters: n cells, e embedding dimensions, s shells.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from embed.shard import Shard, Storage, codes_of, empty_vectors


def gather(
    blocks: Iterable[tuple[NDArray[np.integer[Any]], NDArray[np.float32], NDArray[np.float32]]],
    dimension: int,
    storage: Storage,
    grid: tuple[int, int, int],
    keep_fraction: float,
    shells: NDArray[np.int8],
) -> Shard:
    """Stream blocks of ``(cells_zyx, vectors, particle_logit)`` into a shard, with the ``(z, y, x, s)`` densities.

    With ``keep_fraction`` below 1 the cells that look least like a particle, and have none beside them, are left
    out, by rank within this tomogram: an absolute bound would empty the index of an encoder whose particle head is
    untrained. Holds the codes of one tomogram twice.
    """
    streamed = empty_vectors(dimension, storage)
    parts: list[NDArray[np.int32]] = []
    logits = np.full(grid, -np.inf, dtype=np.float16)
    for cells_zyx, values, particle_logit in blocks:
        streamed.add(np.ascontiguousarray(values, dtype=np.float32))
        parts.append(np.ravel_multi_index(tuple(cells_zyx.T), grid).astype(np.int32))
        logits[tuple(cells_zyx.T)] = particle_logit
    cells = np.concatenate(parts)
    particle = logits.ravel()[cells]
    around = ndimage.maximum_filter(logits.astype(np.float32), size=3, mode="nearest").astype(np.float16).ravel()[cells]
    num_kept = max(1, round(keep_fraction * len(cells)))
    order = np.argsort(-around, kind="stable")[:num_kept]
    vectors = empty_vectors(dimension, storage)
    vectors.add_sa_codes(codes_of(streamed)[order])
    rows = np.full(logits.size, -1, dtype=np.int32)
    rows[cells[order]] = np.arange(num_kept, dtype=np.int32)
    dense = shells.reshape(logits.size, -1)[cells[order]]
    return Shard(vectors, cells[order], rows, particle[order], around[order], dense, grid)
