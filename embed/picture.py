"""A search as one picture: examples, best and least sure finds, and a slice; of several objects a row each."""

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from embed.overview import Summary
from embed.search import Found
from tomoseek import plots
from tomoseek.geometry import angstrom_to_cells, indices_to_points, points_to_indices
from tomoseek.plots import Mark
from tomoseek.tomograms.slabs import SLAB_ANGSTROM, read_slab, window
from tomoseek.tomograms.tomogram import Tomogram

COLUMNS = 8
NUM_BEST, NUM_LAST = 24, 8
NUM_EXAMPLES = 8
NUM_EACH = 8  # finds of each of several objects


def search_figure(
    found: Found, examples: Mapping[str, NDArray[np.float64]], open_run: Callable[[str], Tomogram]
) -> Figure:
    """Draw what was asked for and what was found.

    Parameters
    ----------
    found
        Answer to the search.
    examples
        By run, ``(k, 3)`` x y z in Å, as they were given; none of a structure.
    open_run
        Opens the tomogram of a run.
    """
    picks = [
        (run, point, float(score))
        for run, each in found.by_run.items()
        for point, score in zip(each.points_xyz, each.scores, strict=True)
    ]
    picks.sort(key=lambda pick: -pick[2])
    last = picks[max(NUM_BEST, len(picks) - NUM_LAST) :]
    shown = [(run, point) for run, points in examples.items() for point in points][:NUM_EXAMPLES]
    rows: list[tuple[str, list[tuple[str, NDArray[np.float64], str]]]] = []
    if shown:
        rows.append(("examples", [(run, point, "") for run, point in shown]))
    best = [(run, point, f"{score:.2f}") for run, point, score in picks[:NUM_BEST]]
    for first in range(0, len(best), COLUMNS):
        rows.append(("best finds" if not first else "", best[first : first + COLUMNS]))
    if last:
        rows.append(("least sure", [(run, point, f"{score:.2f}") for run, point, score in last]))
    rows = rows or [("no finds", [])]
    figure = Figure(figsize=(13.6, max(5.4, 1.05 * len(rows) + 0.8)), layout="constrained")
    slab, gallery = figure.subfigures(1, 2, squeeze=False, width_ratios=[1, 1.25])[0]
    run = max(found.by_run, key=lambda name: len(found.by_run[name]))
    draw_slab(slab.subplots(), open_run(run), found, examples.get(run, np.zeros((0, 3))))
    grid = gallery.subplots(len(rows), COLUMNS, squeeze=False)
    tomograms = {name: open_run(name) for name in {pick[0] for _, row in rows for pick in row}}
    for line, (title, row) in zip(grid, rows, strict=True):
        for axes in line:
            _bare(axes)
        if title:
            line[0].set_title(title, fontsize=9, loc="left", color=plots.INK, pad=10)
        for axes, (name, point, told) in zip(line, row, strict=False):
            _show(axes, window(tomograms[name], point, found.radius), told)
    expected = ""
    if found.cutoff.precision is not None:
        expected = f"; expected to be right: {found.cutoff.precision:.0%}"
    figure.suptitle(f"{found.name}: {len(picks)} finds{expected}", fontsize=12, color=plots.INK)
    return figure


def draw_slab(axes: Axes, tomogram: Tomogram, found: Found, examples_xyz: NDArray[np.float64]) -> None:
    """Draw the slab of a tomogram that holds most finds: finds as circles, examples dashed."""
    points = found.by_run[tomogram.run].points_xyz
    planes = points_to_indices(points if len(points) else examples_xyz, tomogram.voxel_spacing)[:, 0]
    plane = tomogram.shape[0] // 2
    if len(planes):
        reach = angstrom_to_cells(found.radius / 2, tomogram.voxel_spacing)
        crowd = (np.abs(np.arange(tomogram.shape[0])[:, None] - planes) <= reach).sum(1)
        plane = int(crowd.argmax())
    _, ny, nx = tomogram.shape
    plots.show_slice(axes, read_slab(tomogram, np.array([plane, ny // 2, nx // 2]), (ny, nx)), tomogram.voxel_spacing)
    height = indices_to_points([[plane, 0, 0]], tomogram.voxel_spacing)[0, 2]

    def near(points_xyz: NDArray[np.float64]) -> NDArray[np.float64]:
        inside = np.abs(points_xyz[:, 2] - height) <= found.radius / 2
        return np.asarray(points_xyz[inside])

    marks = [Mark(x, y, found.radius, plots.FALSE_ALARM) for x, y, _ in near(points)]
    marks += [Mark(x, y, 1.25 * found.radius, plots.ACCENT, "--") for x, y, _ in near(examples_xyz)]
    plots.draw_marks(axes, marks)
    plots.add_scale_bar(axes)
    axes.set_title(
        f"{tomogram.run}, a slab of {SLAB_ANGSTROM / 10:.0f} nm at z = {height / 10:.0f} nm\n"
        f"orange: finds{', blue and dashed: examples' if len(examples_xyz) else ''}",
        fontsize=9, color=plots.INK,
    )  # fmt: skip


def overview_figure(
    summaries: list[Summary], found: Mapping[str, Found], looks: Mapping[str, NDArray[np.float32]],
    open_run: Callable[[str], Tomogram],
) -> Figure:  # fmt: skip
    """Draw a row for each object: what is expected, what it looks like, and its best finds.

    Parameters
    ----------
    summaries
        From `summarise`.
    found
        By object.
    looks
        By object a projection ``(y, x)`` of its structure, where there is one.
    open_run
        Opens the tomogram of a run.
    """
    figure = Figure(figsize=(1.15 * (NUM_EACH + 3), 1.3 * len(summaries) + 0.4), layout="constrained")
    grid = figure.subplots(len(summaries), NUM_EACH + 2, squeeze=False, width_ratios=[2, *[1] * (NUM_EACH + 1)])
    tomograms: dict[str, Tomogram] = {}
    for axes in grid.ravel():
        _bare(axes)
    for line, one in zip(grid, summaries, strict=True):
        expected = "" if one.expected_number is None else f"\nabout {one.expected_number:.0f} expected"
        line[0].text(0, 0.5, f"{one.name}\n{one.verdict}{expected}", fontsize=9, va="center", color=plots.INK)
        if one.name in looks:
            line[1].imshow(looks[one.name], cmap="gray_r", origin="lower")
        each = found[one.name]
        finds = [
            (float(score), run, point)
            for run, picks in each.candidates.items()
            for point, score in zip(picks.points_xyz, picks.scores, strict=True)
        ]
        best = sorted(finds, key=lambda find: -find[0])[:NUM_EACH]
        for axes, (score, run, point) in zip(line[2:], best, strict=False):
            if run not in tomograms:
                tomograms[run] = open_run(run)
            _show(axes, window(tomograms[run], point, each.radius), f"{score:.2f}")
    grid[0][1].set_title("structure", fontsize=8, color=plots.INK)
    grid[0][2].set_title("best finds", fontsize=8, loc="left", color=plots.INK)
    return figure


def _bare(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _show(axes: Axes, image: NDArray[np.float32], told: str) -> None:
    """Draw a window, protein dark, with a word below."""
    low, high = np.percentile(image, (1, 99))
    axes.imshow(image, cmap="gray_r", vmin=low, vmax=high, origin="lower", interpolation="bilinear")
    axes.set_xlabel(told, fontsize=7.5, labelpad=1.5, color=plots.INK)
