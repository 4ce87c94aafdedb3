"""What an encoder makes of the lamella: search from examples, its features alone, and its particle score.

One index answers everything. Letters: n places, m directions, e embedding dimensions; z y x cells of four voxels.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.reality.lamella import MOST_FINDS, RADIUS, RUN, Lamella, Points, recalls
from embed import Index
from embed.doubts import particle_score
from embed.prototype import mean_direction
from embed.shard import Shard
from tomoseek.geometry import angstrom_to_cells, cell_to_voxel, indices_to_points, points_to_indices, voxel_to_cell
from tomoseek.picks.peaks import find_peaks

NUM_RANDOM = 2000  # places of the slab
NUM_RESAMPLED = 500  # times, for the spread of an area under a curve
STRETCH = 200_000  # rows read at once

Scores = NDArray[np.floating[Any]]


def search(index: Index, examples_xyz: Points) -> Points:
    """Find ``(n, 3)`` places as a user's search does, best first."""
    found = index.search({RUN: examples_xyz}, radius=RADIUS, threshold=0.0, max_picks=MOST_FINDS)
    return found.by_run[RUN].points_xyz


def cosine_of_few(lamella: Lamella, index: Index, draws: list[Points]) -> list[list[float]]:
    """Score by the cosine with the mean of each draw of examples; nothing else of the search has a part in it."""
    directions = np.stack([mean_direction(vectors_at(index, points)) for points in draws])
    maps = dense_maps(index.shard(RUN), directions)
    return [recalls(peaks(index, score), lamella.truth_xyz, points) for score, points in zip(maps, draws, strict=True)]


def probes_of_half(lamella: Lamella, index: Index, num_splits: int) -> dict[str, list[list[float]]]:
    """Split the references in two; each half learns to tell ribosomes, for the places that are nearest to the other.

    So every place is scored by what never saw the reference nearest to it, and all references count. Learned is the
    cosine with the mean, and a linear probe against random places of the slab, which may well lie on ribosomes.
    """
    shard, truth = index.shard(RUN), lamella.truth_xyz
    cells = np.indices(shard.grid).reshape(3, -1).T
    nearest = cKDTree(truth).query(points_of(index, cells))[1].reshape(shard.grid)
    figures: dict[str, list[list[float]]] = {"cosine": [], "probe": []}
    for seed in range(num_splits):
        first = np.isin(np.arange(len(truth)), np.random.default_rng(seed).permutation(len(truth))[: len(truth) // 2])
        learned = [cosine_and_probe(lamella, index, truth[half], seed) for half in (first, ~first)]
        maps = dense_maps(shard, np.concatenate([directions for directions, _ in learned]))
        maps += np.concatenate([offsets for _, offsets in learned])[:, None, None, None]
        of_first, of_second = maps[:2], maps[2:]
        for name, score in zip(figures, np.where(first[nearest], of_second, of_first), strict=True):
            figures[name].append(recalls(peaks(index, score), truth, truth[:0]))
    return figures


def cosine_and_probe(lamella: Lamella, index: Index, positives_xyz: Points, seed: int) -> tuple[Scores, Scores]:
    """Return two directions ``(2, e)``, of the mean and of a linear probe, and two offsets ``(2,)``."""
    positives = vectors_at(index, positives_xyz)
    negatives = vectors_at(index, lamella.places(NUM_RANDOM, seed, clear_of=positives_xyz))
    direction, offset = probe(positives, negatives)
    return np.stack([mean_direction(positives), direction]), np.array([0.0, offset], dtype=np.float32)


def particle_score_alone(index: Index) -> Points:
    """Find ``(n, 3)`` places by particle logit, best first."""
    return peaks(index, logit_map(index.shard(RUN)))


def vectors_at(index: Index, points_xyz: Points) -> Scores:
    """Read the unit vectors ``(n, e)`` at points."""
    return index.shard(RUN).interpolate(cells_of(index, points_xyz))[0]


def cells_of(index: Index, points_xyz: Points) -> Points:
    """Turn points into fractional cells ``(n, 3)`` z y x."""
    spacing = index.entries[RUN].voxel_spacing
    return voxel_to_cell(points_to_indices(points_xyz, spacing), index.header.stride)


def points_of(index: Index, cells_zyx: NDArray[Any]) -> Points:
    """Turn cells ``(n, 3)`` z y x into points."""
    return indices_to_points(cell_to_voxel(cells_zyx, index.header.stride), index.entries[RUN].voxel_spacing)


def probe(positives: Scores, negatives: Scores) -> tuple[Scores, float]:
    """Fit a linear probe; return the direction ``(e,)`` and offset of its log-odds."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000))
    model.fit(np.concatenate([positives, negatives]), np.repeat([1, 0], [len(positives), len(negatives)]))
    scaler, regression = (model[k] for k in range(2))
    direction = regression.coef_[0] / scaler.scale_
    return direction.astype(np.float32), float(regression.intercept_[0] - scaler.mean_ @ direction)


def dense_maps(shard: Shard, directions: Scores) -> Scores:
    """Multiply every stored vector by ``(m, e)`` directions: ``(m, z, y, x)``, minus infinity where none is stored."""
    maps = np.full((len(directions), *shard.grid), -np.inf, dtype=np.float32)
    for first in range(0, len(shard), STRETCH):
        rows = np.arange(first, min(first + STRETCH, len(shard)))
        maps[:, *shard.cells_zyx(rows).T] = directions @ shard.read_vectors(rows).T
    return maps


def logit_map(shard: Shard) -> Scores:
    """Lay out the particle logits of all cells ``(z, y, x)``, minus infinity where none is stored."""
    rows = np.arange(len(shard))
    logits = np.full(shard.grid, -np.inf, dtype=np.float32)
    logits[tuple(shard.cells_zyx(rows).T)] = shard.particle_logit(rows)
    return logits


def peaks(index: Index, score_map: Scores) -> Points:
    """Return the peaks ``(n, 3)`` of a score per cell, best first."""
    spacing, stride = index.entries[RUN].voxel_spacing, index.header.stride
    cells, _ = find_peaks(
        score_map, radius_cells=angstrom_to_cells(RADIUS, spacing, stride), threshold=float(np.finfo(np.float32).min),
        max_peaks=MOST_FINDS,
    )  # fmt: skip
    return points_of(index, cells)


def particle_logits(lamella: Lamella, index: Index) -> dict[str, Any]:
    """Compare the particle logit at the references with that at random places of the slab, none of them near one."""
    others = lamella.places(NUM_RANDOM, seed=0, clear_of=lamella.truth_xyz)
    shard, best_near = index.shard(RUN), particle_score(index, RUN)
    here, there = (shard.interpolate_logit(cells_of(index, points)) for points in (lamella.truth_xyz, others))
    area, spread = area_under_curve(here, there)
    return {
        "area": area,
        "spread": spread,
        "median at references": float(np.median(here)),
        "median elsewhere": float(np.median(there)),
        "area, best within 25 Å": area_under_curve(best_near(lamella.truth_xyz), best_near(others))[0],
    }


def area_under_curve(positives: Scores, negatives: Scores, seed: int = 0) -> tuple[float, float]:
    """Return the area under the ROC curve, and its spread when both samples are drawn again and again."""
    random = np.random.default_rng(seed)

    def area(some: Scores, others: Scores) -> float:
        ranked = np.sort(others)
        beaten = np.searchsorted(ranked, some, "left") + np.searchsorted(ranked, some, "right")  # ties count half
        return float(beaten.mean() / 2 / len(others))

    again = [area(*(random.choice(each, len(each)) for each in (positives, negatives))) for _ in range(NUM_RESAMPLED)]
    return area(positives, negatives), float(np.std(again))
