"""From score maps to points: local maxima, refined below the cell, thinned to one per particle."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

FloatArray = NDArray[np.float64]


def find_peaks(
    score_map: ArrayLike,
    *,
    radius_cells: float,
    threshold: float,
    max_peaks: int = 5000,
    shape_map: ArrayLike | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Find the local maxima of a score map, best first, no two closer than a radius.

    Parameters
    ----------
    score_map
        ``(z, y, x)`` scores; NaN counts as no score.
    radius_cells
        Of any two peaks within this distance the lower is dropped.
    threshold
        Lowest score of a peak, itself included.
    max_peaks
        Stop after this many.
    shape_map
        ``(z, y, x)``: where positions are refined; the score map itself when absent. For score maps in which cells
        are blotted out, which would push the vertex of a parabola away from them.

    Returns
    -------
    Positions ``(n, 3)`` z y x in fractional cells and scores ``(n,)``, both by falling score. Positions are
    refined by a parabola along each axis, at most half a cell; scores are those of the cell.
    """
    scores = np.asarray(score_map)
    if scores.dtype != np.float32:
        scores = scores.astype(np.float32)
    if scores.size == 0:
        return np.zeros((0, 3)), np.zeros(0)
    if np.isnan(scores.max()):
        scores = np.nan_to_num(scores, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    cells = local_maxima(scores, threshold)  # (n, 3) z y x
    values = scores[tuple(cells.T)].astype(np.float64)
    shape = scores if shape_map is None else np.asarray(shape_map, dtype=np.float32)
    refined = cells + _parabola_offsets(shape, cells)
    kept = suppress(refined, values, radius_cells, max_kept=max_peaks)
    return refined[kept], values[kept]


def local_maxima(score_map: NDArray[np.floating[Any]], threshold: float, reach: int = 1) -> NDArray[np.int64]:
    """Find the cells that no other one within a cube around them exceeds.

    Time goes with the number of cells above the threshold, not with the size of the map.

    Parameters
    ----------
    score_map
        ``(z, y, x)`` scores without NaN.
    threshold
        Lowest score of a maximum, itself included; infinite scores are none.
    reach
        Half an edge of the cube, in cells; on the border it ends there.

    Returns
    -------
    ``(n, 3)`` z y x in order.
    """
    above = np.flatnonzero(score_map >= threshold)
    cells: NDArray[np.int64] = np.stack(np.unravel_index(above, score_map.shape), -1)
    cells = cells[np.isfinite(score_map[tuple(cells.T)])]
    last = np.array(score_map.shape) - 1
    steps = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    for step in sorted(steps.tolist(), key=lambda step: float(np.square(step).sum())):  # the nearest rule out most
        beside = np.clip(cells + step, 0, last)
        cells = cells[score_map[tuple(beside.T)] <= score_map[tuple(cells.T)]]
    return cells


def suppress(points: ArrayLike, scores: ArrayLike, radius: float, max_kept: int | None = None) -> NDArray[np.int64]:
    """Keep the best-scored points such that no two lie within a radius of each other.

    Parameters
    ----------
    points
        ``(n, 3)`` in any unit and axis order.
    scores
        ``(n,)``; of equal scores the earlier point wins.
    radius
        In the unit of the points; at this very distance the lower is dropped too.
    max_kept
        Stop after this many; None keeps all.

    Returns
    -------
    Indices of the points kept, by falling score.
    """
    positions = np.asarray(points, dtype=np.float64).reshape(-1, 3)  # (n, 3)
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    if len(positions) == 0:
        return np.zeros(0, dtype=np.int64)
    tree = cKDTree(positions)
    alive = np.ones(len(positions), dtype=bool)
    kept: list[int] = []
    for index in order:
        if max_kept is not None and len(kept) >= max_kept:
            break
        if alive[index]:
            kept.append(int(index))
            alive[tree.query_ball_point(positions[index], radius)] = False
    return np.array(kept, dtype=np.int64)


def _parabola_offsets(scores: NDArray[np.float32], cells: NDArray[np.int64]) -> FloatArray:
    """Offset of the vertex of the parabola through each peak and its two neighbours, along each axis.

    0 at the border of the map and on a plateau.
    """
    offsets = np.zeros((len(cells), 3))
    for axis, length in enumerate(scores.shape):
        inner = (cells[:, axis] > 0) & (cells[:, axis] < length - 1)
        step = np.eye(3, dtype=np.int64)[axis]
        middle = cells[inner]
        before, here, after = (scores[tuple((middle + shift * step).T)].astype(np.float64) for shift in (-1, 0, 1))
        curvature = before - 2 * here + after
        with np.errstate(divide="ignore", invalid="ignore"):
            offset = 0.5 * (before - after) / curvature
        offsets[inner, axis] = np.where(np.isfinite(offset) & (curvature < 0), np.clip(offset, -0.5, 0.5), 0.0)
    return offsets
