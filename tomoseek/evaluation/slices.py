"""A slice through a scored tomogram: truth, hits, misses and false alarms."""

import textwrap
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tomoseek import plots
from tomoseek.evaluation.score import HIT_FRACTION
from tomoseek.geometry import indices_to_points
from tomoseek.picks.points import Picks
from tomoseek.plots import Mark
from tomoseek.tomograms.slabs import SLAB_ANGSTROM, read_slab
from tomoseek.tomograms.tomogram import Tomogram


class ScoredRun(NamedTuple):
    """What is known of one test run: its tomogram, all true points, and the picks of the trained classes."""

    tomogram: Tomogram
    truth: dict[str, NDArray[np.float64]]
    picks: dict[str, Picks]


def busiest_plane(tomogram: Tomogram, truth: Mapping[str, NDArray[np.float64]], radii: Mapping[str, float]) -> int:
    """Index of the plane that cuts the most particles near their middle."""
    planes = indices_to_points([[z, 0, 0] for z in range(tomogram.shape[0])], tomogram.voxel_spacing)[:, 2]
    crowd = np.zeros(len(planes))
    for name, points_xyz in truth.items():
        for height in points_xyz[:, 2]:
            crowd += np.clip(1 - np.abs(planes - height) / (HIT_FRACTION * radii[name]), 0, 1)
    return int(crowd.argmax())


def slice_figure(scored: ScoredRun, radii: Mapping[str, float], colors: Mapping[str, str]) -> tuple[Figure, str]:
    """Show the busiest slab of a run: bare, with the truth, with hits, misses and false alarms; and a caption."""
    tomogram = scored.tomogram
    _, ny, nx = tomogram.shape
    plane = busiest_plane(tomogram, scored.truth, radii)
    image = read_slab(tomogram, np.array([plane, ny // 2, nx // 2]), (ny, nx))
    height = indices_to_points([[plane, 0, 0]], tomogram.voxel_spacing)[0, 2]
    truth, outcomes = [], []
    tally = dict.fromkeys((plots.HIT, plots.MISS, plots.FALSE_ALARM), 0)
    for name, known in scored.truth.items():
        radius = radii[name]
        near_known = np.abs(known[:, 2] - height) <= HIT_FRACTION * radius
        truth += [Mark(x, y, radius, colors[name]) for x, y, _ in known[near_known]]
        if name not in scored.picks:
            continue
        found = scored.picks[name].points_xyz
        near_found = np.abs(found[:, 2] - height) <= HIT_FRACTION * radius
        right, missed = is_near(found, known, radius), ~is_near(known, found, radius)
        if right.any():  # a hit is drawn with its particle, or that would look missed where the two heights differ
            near_found[right] = near_known[cKDTree(known).query(found[right])[1]]
        for points, color, style in (
            (found[near_found & right], plots.HIT, "-"),
            (known[near_known & missed], plots.MISS, "--"),
            (found[near_found & ~right], plots.FALSE_ALARM, ":"),
        ):
            outcomes += [Mark(x, y, radius, color, style) for x, y, _ in points]
            tally[color] += len(points)
    figure = plots.truth_and_picks_figure(image, tomogram.voxel_spacing, truth, outcomes, colors)
    hits, misses, alarms = tally.values()
    others = ", ".join(name for name in scored.truth if name not in scored.picks)
    untrained = f"The picker was not trained on {others}. " if others else ""
    caption = (
        f"Run {tomogram.run}, a slab of {SLAB_ANGSTROM / 10:.0f} nm at z = {height / 10:.0f} nm, the one "
        "with the most particles. Circles have the particle's radius and are drawn when its centre lies "
        f"within half of that radius of the slab. {untrained}Here: hits {hits}, missed {misses}, false alarms "
        f"{alarms}."
    )
    return figure, caption


def is_near(points_xyz: NDArray[np.float64], others_xyz: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
    """Say for each point whether one of the others lies within half a radius."""
    if not len(points_xyz) or not len(others_xyz):
        return np.zeros(len(points_xyz), dtype=bool)
    return np.asarray(cKDTree(others_xyz).query(points_xyz)[0] <= HIT_FRACTION * radius)


def titled_slice(scored: ScoredRun, radii: Mapping[str, float], colors: Mapping[str, str]) -> Figure:
    """The busiest slab of a run, with what it shows written above."""
    figure, caption = slice_figure(scored, radii, colors)
    figure.set_size_inches(12.5, 5.6)
    figure.suptitle(textwrap.fill(caption, 130), fontsize=10, color=plots.INK)
    return figure
