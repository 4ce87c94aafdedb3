"""A search as one picture: the examples, the best and the least sure finds, and a slice with finds and examples."""

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from embed.search import Found
from tomoseek import plots
from tomoseek.geometry import angstrom_to_cells, indices_to_points, points_to_indices
from tomoseek.plots import Mark
from tomoseek.tomograms.slabs import SLAB_ANGSTROM, read_slab, window
from tomoseek.tomograms.tomogram import Tomogram

COLUMNS = 8
NUM_BEST, NUM_LAST = 24, 8
NUM_EXAMPLES = 8


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
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        if title:
            line[0].set_title(title, fontsize=9, loc="left", color=plots.INK, pad=10)
        for axes, (name, point, told) in zip(line, row, strict=False):
            image = window(tomograms[name], point, found.radius)
            low, high = np.percentile(image, (1, 99))
            axes.imshow(image, cmap="gray_r", vmin=low, vmax=high, origin="lower", interpolation="bilinear")
            axes.set_xlabel(told, fontsize=7.5, labelpad=1.5, color=plots.INK)
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
