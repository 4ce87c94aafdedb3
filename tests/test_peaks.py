"""Peaks: found where they are, one per particle."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from tomoseek.picks.peaks import find_peaks, local_maxima, suppress


def blobs(shape: tuple[int, int, int], centres: np.ndarray, heights: np.ndarray, sigma: float = 1.5) -> np.ndarray:
    grid = np.stack(np.meshgrid(*(np.arange(length) for length in shape), indexing="ij"), -1)
    volume = np.zeros(shape)
    for centre, height in zip(centres, heights, strict=True):
        volume += height * np.exp(-((grid - centre) ** 2).sum(-1) / (2 * sigma**2))
    return volume


def test_blobs_are_found_to_a_tenth_of_a_cell_best_first():
    centres = np.array([[8.3, 10.7, 12.2], [20.5, 8.1, 25.9], [15.0, 25.4, 6.6]])
    heights = np.array([0.6, 0.9, 0.75])
    cells, scores = find_peaks(blobs((30, 36, 34), centres, heights), radius_cells=4, threshold=0.3)
    assert np.abs(cells - centres[[1, 2, 0]]).max() < 0.1
    assert (np.diff(scores) <= 0).all() and np.allclose(scores, heights[[1, 2, 0]], rtol=0.1)


def test_no_two_peaks_are_closer_than_the_radius_and_nothing_free_is_missed():
    score_map = np.random.default_rng(0).random((20, 24, 28)).astype(np.float16)
    cells, scores = find_peaks(score_map, radius_cells=5, threshold=0.9)
    distances = cdist(cells, cells)
    np.fill_diagonal(distances, np.inf)
    assert distances.min() > 5
    strong = np.argwhere(score_map.astype(float) > scores[0] - 1e-6)
    assert np.abs(cells[0] - strong[0]).max() <= 0.5
    fewer, _ = find_peaks(score_map, radius_cells=5, threshold=0.9, max_peaks=3)
    assert np.array_equal(fewer, cells[:3])


def test_the_vertex_of_a_parabola_is_found_exactly_but_not_beyond_the_border():
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in (7, 8, 9)], indexing="ij"), -1)
    for vertex in ([3.2, 0.8, 7.3], [5.4, 6.3, 1.1], [3.0, 0.0, 8.0]):
        score_map = 100 - ((grid - vertex) ** 2).sum(-1)
        (cell,), (score,) = find_peaks(score_map, radius_cells=3, threshold=99.0)
        np.testing.assert_allclose(cell, vertex, atol=1e-4)
        assert score == np.float32(score_map.max())
    beyond = 100 - ((grid - [-0.3, 4.0, 8.4]) ** 2).sum(-1)
    assert find_peaks(beyond, radius_cells=3, threshold=99.0)[0].tolist() == [[0, 4, 8]]


@pytest.mark.parametrize("reach", [1, 2])
def test_local_maxima_agree_with_a_maximum_filter_up_to_the_border(reach: int):
    score_map = np.random.default_rng(0).random((9, 10, 11)).round(2)
    score_map[0, 0, 0] = np.inf
    highest = ndimage.maximum_filter(score_map, 2 * reach + 1, mode="nearest")
    expected = np.argwhere((score_map == highest) & (score_map >= 0.5) & np.isfinite(score_map))
    assert np.array_equal(local_maxima(score_map, 0.5, reach), expected) and (expected == 0).any()
    least = score_map[tuple(expected.T)].min()
    assert len(local_maxima(score_map, least, reach)) == len(expected)  # the threshold itself counts


def test_suppression_agrees_with_brute_force():
    generator = np.random.default_rng(0)
    points, scores = generator.uniform(0, 50, (200, 3)), generator.random(200)
    kept: list[int] = []
    for index in np.argsort(-scores):
        if all(np.linalg.norm(points[index] - points[other]) > 8 for other in kept):
            kept.append(int(index))
    assert suppress(points, scores, 8.0).tolist() == kept


def test_of_equal_scores_the_first_point_stays():
    assert suppress([[0, 0, 0], [1, 0, 0], [9, 0, 0]], [1, 1, 1], 2.0).tolist() == [0, 2]


def test_a_saturated_plateau_gives_one_peak():
    score_map = np.zeros((16, 16, 16))
    score_map[6:9, 6:9, 6:9] = 1.0
    cells, _ = find_peaks(score_map, radius_cells=4, threshold=0.5)
    assert len(cells) == 1 and np.abs(cells[0] - 7).max() <= 1


def test_blotted_out_cells_do_not_push_a_peak_away():
    whole = blobs((20, 20, 20), np.array([[9.3, 10.0, 9.7]]), np.array([1.0]))
    blotted = np.where(np.arange(20) > 10, -1.0, whole)
    (pushed,), _ = find_peaks(blotted, radius_cells=4, threshold=0.5)
    (cell,), _ = find_peaks(blotted, radius_cells=4, threshold=0.5, shape_map=whole)
    assert np.abs(cell - [9.3, 10.0, 9.7]).max() < 0.1 < np.abs(pushed - [9.3, 10.0, 9.7]).max()


def test_border_nan_and_empty_maps_are_harmless():
    score_map = np.full((6, 6, 6), np.nan)
    score_map[0, 0, 0] = 0.8
    cells, scores = find_peaks(score_map, radius_cells=2, threshold=0.5)
    assert np.array_equal(cells, [[0, 0, 0]]) and np.allclose(scores, 0.8)
    cells, scores = find_peaks(np.zeros((6, 6, 6)), radius_cells=2, threshold=0.5)
    assert cells.shape == (0, 3) and scores.shape == (0,)
    assert suppress([], [], 1.0).shape == (0,)
