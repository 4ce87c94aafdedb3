"""Example picks as the index knows them: their vectors, read where the particle is that each of them means.

Letters: k examples, e embedding dimensions, s shells.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embed.shard import Shard
from tomoseek.errors import InputError
from tomoseek.geometry import (
    angstrom_to_cells,
    cell_to_voxel,
    indices_to_points,
    points_to_indices,
    voxel_to_cell,
)
from tomoseek.picks.points import check_inside

if TYPE_CHECKING:
    from embed.index import Index

REACH_ANGSTROM = 50.0


@dataclass(frozen=True)
class Examples:
    """``(k, e)`` unit vectors, ``(k,)`` particle logits and ``(k, s)`` densities around, read at the example points."""

    vectors: NDArray[np.float32]
    particle_logit: NDArray[np.float32]
    shells: NDArray[np.float32]


def merge_examples(examples: Iterable[Examples]) -> Examples:
    """Put the examples of several runs together."""
    parts = list(examples)
    return Examples(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.particle_logit for part in parts]),
        np.concatenate([part.shells for part in parts]),
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


def read_examples(index: "Index", points_xyz: ArrayLike, run: str, reach_angstrom: float = REACH_ANGSTROM) -> Examples:
    """Read vectors, logits and densities at points of a run, trilinear between cells, moved onto their particles.

    Parameters
    ----------
    points_xyz
        ``(k, 3)`` Å.
    reach_angstrom
        How far a point may be moved, see `recentre`; 0 takes it as it is. With an encoder that was not calibrated none
        is moved.

    Raises
    ------
    InputError
        If the run is unknown, a point is not finite or outside its tomogram, or no cell near it was
        kept.
    """
    shard, entry, header = index.shard(run), index.entries[run], index.header
    points = checked_points(points_xyz, run)
    z, y, x = entry.stored_shape
    check_inside(points, (z, y, x), entry.stored_spacing, f"example points of run {run}")
    moved = onto_particles(index, points, run, reach_angstrom)
    cells = voxel_to_cell(points_to_indices(moved, entry.voxel_spacing), header.stride)
    vectors, logits = shard.interpolate(cells)
    lost = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(lost):
        raise InputError(
            f"run {run}: example {points[lost[0]].round(1).tolist()} lies where the index kept no cell "
            f"(keep_fraction={header.keep_fraction}, searched is {entry.part}); build the index with keep_fraction=1, "
            "or choose where it searches with data.mask"
        )
    return Examples(vectors, logits, shard.interpolate_shells(cells))


def onto_particles(
    index: "Index", points_xyz: NDArray[np.float64], run: str, reach_angstrom: float
) -> NDArray[np.float64]:
    """Move ``(k, 3)`` points, Å, onto the particles they mean, see `recentre`; not with an uncalibrated encoder."""
    header, spacing = index.header, index.entries[run].voxel_spacing
    if header.constants is None or header.constants.recentre_gain is None:
        return points_xyz
    cells = voxel_to_cell(points_to_indices(points_xyz, spacing), header.stride)
    reach_cells = angstrom_to_cells(reach_angstrom, spacing, header.stride)
    moved = recentre(cells, index.shard(run), reach_cells, header.constants.recentre_gain)
    return indices_to_points(cell_to_voxel(moved, header.stride), spacing)


def recentre(
    cells_zyx: NDArray[np.float64], shard: Shard, reach_cells: float, least_gain: float
) -> NDArray[np.float64]:
    """Move ``(k, 3)`` fractional cells to where a particle is likeliest within a ball around them.

    The particle head learned to tell a centre from places beside it. A click stays where no particle is likely around
    it (even odds), or where that gains less than ``least_gain`` logits.

    Parameters
    ----------
    reach_cells
        Radius of the ball; 0 moves nothing.
    least_gain
        See `tomoseek.network.search_constants.SearchConstants`.
    """
    steps = np.arange(-1, 1.01, 0.2)
    ball = reach_cells * np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    ball = ball[np.linalg.norm(ball, axis=1) <= reach_cells * 1.001]
    moved = cells_zyx.copy()
    for number, cell in enumerate(cells_zyx):
        places = np.clip(cell + ball, 0, np.array(shard.grid) - 1)
        logits = np.nan_to_num(shard.interpolate_logit(places), nan=-np.inf)
        here = shard.interpolate_logit(cell[None])[0]
        best = int(np.argmax(logits))
        if logits[best] > max(0.0, here + least_gain):
            moved[number] = places[best]
    return moved
