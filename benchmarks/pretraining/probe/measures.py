"""What is measured on dense features: search from k examples, linear probes, localisation.

Letters: k examples, n points, e feature dimensions; z y x cells of four voxels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.known_tomograms import PER_CLASS, KnownTomograms
from embed.misled import MOST_ABOVE
from embed.prototype import RIVAL_WEIGHT, fit
from embed.score_map import lowest_logit
from embed.surroundings import NUM_BACKGROUND, Surroundings, likely_cells, rival_vectors
from tomoseek.evaluation.ranking import score_ranking
from tomoseek.geometry import angstrom_to_cells, cell_to_voxel, indices_to_points, points_to_indices, voxel_to_cell
from tomoseek.network.strides import EMBEDDING_STRIDE
from tomoseek.picks.peaks import find_peaks
from tomoseek.picks.points import Picks

CLEAR_ANGSTROM = 100.0
NUM_SEEDS = 5
SHOTS = (1, 5, 10)

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DenseFeatures:
    """Unit vectors ``(z, y, x, e)`` and, where an encoder has learned them, particle logits ``(z, y, x)``."""

    voxel_spacing: float
    vectors: Float32
    particle_logit: Float32 | None = None

    def at(self, points_xyz: Float64) -> tuple[Float32, Float32 | None]:
        """Interpolate at ``(n, 3)`` points in Å: unit vectors ``(n, e)`` and logits ``(n,)``."""
        cells = voxel_to_cell(points_to_indices(points_xyz, self.voxel_spacing), EMBEDDING_STRIDE).T  # 3 n
        vectors = np.stack([_interpolate(self.vectors[..., k], cells) for k in range(self.vectors.shape[-1])], -1)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
        return vectors, None if self.particle_logit is None else _interpolate(self.particle_logit, cells)


def _interpolate(volume: Float32, cells: Float64) -> Float32:
    return ndimage.map_coordinates(volume, cells, order=1, mode="nearest")  # type: ignore[no-any-return]


def peaks_of(
    score_map: Float32,
    radius_angstrom: float,
    voxel_spacing: float,
    stride: int = EMBEDDING_STRIDE,
    allowed: NDArray[np.bool_] | None = None,
) -> Picks:
    """Return the ranked local maxima of a ``(z, y, x)`` map of scores at a stride, of those cells allowed."""
    cells, scores = find_peaks(
        score_map if allowed is None else np.where(allowed, score_map, -np.inf),
        radius_cells=angstrom_to_cells(radius_angstrom, voxel_spacing, stride),
        threshold=float("-inf"),
        max_peaks=1000,
        shape_map=score_map,
    )
    return Picks(indices_to_points(cell_to_voxel(cells, stride), voxel_spacing), np.asarray(scores, dtype=np.float64))


def ranking(known: KnownTomograms, found: dict[int, Picks], key: str) -> dict[str, float]:
    """Average precision of one class over the tomograms searched, and the mean error of hits in voxels."""
    reference = {str(k): known.points[k][key] for k in found}
    named = {str(k): picks for k, picks in found.items()}
    score = score_ranking(reference, named, known.radii[key])
    # Localisation is asked of the best candidates, as many as there are particles.
    errors = []
    for k, picks in found.items():
        best = picks.points_xyz[: len(known.points[k][key])]
        distance = cKDTree(known.points[k][key]).query(best)[0] if len(best) else np.zeros(0)
        errors += (distance[distance <= known.radii[key] / 2] / known.regime.voxel_spacing).tolist()
    return {
        "average_precision": float(score["average_precision"]),
        "best_f1": float(score["best_f1"]),
        "error_voxels": float(np.mean(errors)) if errors else float("nan"),
    }


def search(
    known: KnownTomograms,
    features: list[DenseFeatures],
    surroundings: Surroundings,
    key: str,
    support: int,
    chosen: NDArray[np.int64],
) -> dict[str, float]:
    """Search all other tomograms for one class, from examples in one, as ``embed query`` does by default.

    Where the particle score misleads, features are asked alone: by likeness, not by density.
    """
    vectors, logits = features[support].at(known.points[support][key][chosen])
    misled = logits is not None and misleads(logits, features, support)
    prototype = fit(vectors, surroundings, 0.0 if misled else RIVAL_WEIGHT)
    found = {}
    for other, dense in enumerate(features):
        if other == support:
            continue
        z, y, x, e = dense.vectors.shape
        score_map = prototype.score(dense.vectors.reshape(-1, e)).reshape(z, y, x)
        allowed = None
        if dense.particle_logit is not None and logits is not None and not misled:
            allowed = dense.particle_logit >= lowest_logit(logits, 2.0)
        found[other] = peaks_of(score_map, known.radii[key], known.regime.voxel_spacing, allowed=allowed)
    return ranking(known, found, key)


def misleads(logits: Float32, features: list[DenseFeatures], support: int) -> bool:
    """Tell whether the particle score misleads in what is searched, as `embed.misled.misled_by_particle_score` does."""
    searched = [each.particle_logit for k, each in enumerate(features) if k != support]
    above = np.concatenate([(each >= np.median(logits)).ravel() for each in searched if each is not None])
    return bool(above.mean() > MOST_ABOVE)


def surroundings_of(features: list[DenseFeatures]) -> Surroundings:
    """Measure what `embed.surroundings` measures in an index; no rivals where no particle score was learned."""
    random = np.random.default_rng(0)
    background, places = [], [features[0].vectors[:0, 0, 0]]
    for dense in features:
        flat = dense.vectors.reshape(-1, dense.vectors.shape[-1])
        background.append(flat[random.integers(len(flat), size=NUM_BACKGROUND // len(features))])
        if dense.particle_logit is not None:
            places.append(dense.vectors[tuple(likely_cells(dense.particle_logit).T)])
    return Surroundings(np.concatenate(background), rival_vectors(np.concatenate(places)))


def search_from_examples(
    known: KnownTomograms, features: list[DenseFeatures], shots: int
) -> dict[str, dict[str, float]]:
    """Search every class from ``shots`` examples; mean over draws of examples and over who gives them."""
    result, surroundings = {}, surroundings_of(features)
    for key in known.points[0]:
        trials = []
        for support in range(len(features)):
            num_points = len(known.points[support][key])
            for seed in range(NUM_SEEDS):
                chosen = np.random.default_rng([seed, support]).permutation(num_points)[:shots]
                trials.append(search(known, features, surroundings, key, support, chosen))
        result[key] = {name: _mean_of_known([trial[name] for trial in trials]) for name in trials[0]}
    return result


def _mean_of_known(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def background_points(known: KnownTomograms, index: int, count: int) -> Float64:
    """Draw ``(count, 3)`` points in Å clear of every labelled particle."""
    random = np.random.default_rng(index)
    extent = (np.array(known.tomograms[index].shape[::-1]) - 1) * known.regime.voxel_spacing
    drawn = random.uniform(0.04, 0.96, (20 * count, 3)) * extent
    distance = cKDTree(np.concatenate(list(known.points[index].values()))).query(drawn)[0]
    return drawn[distance > CLEAR_ANGSTROM][:count]


def linear_probe(known: KnownTomograms, features: list[DenseFeatures]) -> dict[str, float]:
    """F1 of logistic regression on frozen features: particle or background, and which class (macro).

    Fitted on the first tomogram, measured on the others.
    """
    sets = []
    for index, dense in enumerate(features):
        labels, vectors = [], []
        for label, points in enumerate(known.points[index].values()):
            vectors.append(dense.at(points)[0])
            labels.append(np.full(len(points), label))
        background = background_points(known, index, PER_CLASS * len(known.points[index]))
        sets.append((np.concatenate(vectors), np.concatenate(labels), dense.at(background)[0]))
    (particles, classes, empty), *tests = sets

    def fitted(x: Float32, y: NDArray[np.int64]) -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(x, y)

    binary = fitted(np.concatenate([particles, empty]), np.repeat([1, 0], [len(particles), len(empty)]))
    named = fitted(particles, classes)
    truth = np.concatenate([np.repeat([1, 0], [len(p), len(e)]) for p, _, e in tests])
    guess = np.concatenate([binary.predict(np.concatenate([p, e])) for p, _, e in tests])
    which = np.concatenate([c for _, c, _ in tests])
    said = np.concatenate([named.predict(p) for p, _, _ in tests])
    return {
        "particle_f1": float(f1_score(truth, guess)),
        "class_f1": float(f1_score(which, said, average="macro")),
    }
