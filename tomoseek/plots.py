"""Figures a biologist can read: slices with picks, montages, precision-recall, losses, stage times.

Every function returns a `matplotlib.figure.Figure` and touches no global matplotlib state. Pictures are drawn
in Å, so that picks are placed by their stored coordinates; protein is dark, as tomogram viewers show it.
"""

import io
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from numpy.typing import NDArray

Image = NDArray[np.float32]

# Okabe-Ito hues: told apart by readers with any of the common colour-vision deficiencies.
HIT, MISS, FALSE_ALARM = "#56B4E9", "#F0E442", "#D55E00"
INK, QUIET, ACCENT, CONTROL = "#22303c", "#9aa5b1", "#0072B2", "#E69F00"
CLASS_COLORS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999")


class Mark(NamedTuple):
    """A circle on a slice: centre and radius in Å, colour, matplotlib line style."""

    x: float
    y: float
    radius: float
    color: str
    style: str = "-"


class Curve(NamedTuple):
    """A precision-recall curve and, where a threshold was chosen, the point it works at."""

    recall: Sequence[float]
    precision: Sequence[float]
    color: str
    chosen: tuple[float, float] | None = None


def to_png(figure: Figure, dpi: int = 160) -> bytes:
    """Render a figure, its margins cut, as the content of a PNG file."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.03, facecolor="white")
    return buffer.getvalue()


def show_slice(axes: Axes, image: Image, voxel_spacing: float) -> None:
    """Draw a ``(y, x)`` image, protein positive, with protein dark, axes in Å."""
    ny, nx = image.shape
    low, high = np.percentile(image, (0.5, 99.5))
    # The centre of voxel (0, 0) is the origin, so the picture begins half a voxel before it.
    low_edge, right, top = (voxel_spacing * (edge - 0.5) for edge in (0, nx, ny))
    extent = (low_edge, right, low_edge, top)
    axes.imshow(image, cmap="gray_r", vmin=low, vmax=high, extent=extent, origin="lower", interpolation="bilinear")
    axes.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[])


def add_scale_bar(axes: Axes, length_nm: float = 50.0) -> None:
    """Draw a scale bar under axes in Å, where it covers no particle."""
    low, high = axes.get_ylim()
    bar = AnchoredSizeBar(
        axes.transData, 10 * length_nm, f"{length_nm:g} nm", "upper left", borderpad=0, sep=3, frameon=False,
        size_vertical=0.012 * (high - low), bbox_to_anchor=(0, -0.02), bbox_transform=axes.transAxes,
    )  # fmt: skip
    axes.add_artist(bar)


def draw_marks(axes: Axes, marks: Sequence[Mark]) -> None:
    """Circle picks; a thin dark rim keeps the colour legible on light and dark ground."""
    for mark in marks:
        for color, width, alpha in (("black", 3.0, 0.4), (mark.color, 1.8, 1.0)):
            ring = Circle((mark.x, mark.y), mark.radius, fill=False, ec=color, lw=width, ls=mark.style, alpha=alpha)
            axes.add_patch(ring)


def truth_and_picks_figure(
    image: Image,
    voxel_spacing: float,
    truth: Sequence[Mark],
    outcomes: Sequence[Mark],
    class_colors: Mapping[str, str],
) -> Figure:
    """One slab three times: as it is, with the truth by class, with picks as hit, miss and false alarm."""
    figure = Figure(figsize=(10.6, 4.8), layout="constrained")
    plain, known, found = figure.subplots(1, 3)
    titles = ("what the model sees", "what is there", "what it found")
    for axes, title, marks in zip((plain, known, found), titles, ((), truth, outcomes), strict=True):
        show_slice(axes, image, voxel_spacing)
        draw_marks(axes, marks)
        axes.set_title(title, fontsize=11, color=INK)
    add_scale_bar(plain)
    colors = {mark.color for mark in truth}
    classes = [_ring(color, name) for name, color in class_colors.items() if color in colors]
    if classes:
        known.legend(handles=classes, **_BELOW, ncols=2, handlelength=1.2)
    kinds = (_ring(HIT, "hit"), _ring(MISS, "missed", "--"), _ring(FALSE_ALARM, "false alarm", ":"))
    found.legend(handles=kinds, **_BELOW, ncols=3)
    return figure


_BELOW: dict[str, Any] = dict(
    loc="upper center", bbox_to_anchor=(0.5, -0.01), frameon=False, fontsize=8.5, columnspacing=1.2
)


def _ring(color: str, label: str, style: str = "-") -> Line2D:
    return Line2D([], [], color=color, lw=2.5, ls=style, label=label)


def montage_figure(
    examples: Sequence[Image],
    found: Sequence[Image],
    scores: Sequence[float],
    right: Sequence[bool],
    columns: int = 8,
) -> Figure:
    """The example picks in a column on the left; beside them the best finds, framed by right and wrong.

    Parameters
    ----------
    examples, found
        Central slabs ``(y, x)``, protein positive, best find first.
    scores, right
        Score of each find, and whether a true particle is there.
    """
    rows = max(len(examples), -(-len(found) // columns), 1)
    figure = Figure(figsize=(1.13 * (columns + 1.3), 1.3 * rows + 0.3), layout="constrained")
    grid = figure.add_gridspec(rows, columns + 2, width_ratios=[1, 0.22, *[1] * columns])
    pictures = [*examples, *found]
    low, high = np.percentile(np.stack(pictures), (0.5, 99.5)) if pictures else (0.0, 1.0)

    def tile(row: int, column: int, image: Image, color: str, title: str) -> None:
        axes = figure.add_subplot(grid[row, column])
        axes.imshow(image, cmap="gray_r", vmin=low, vmax=high, origin="lower", interpolation="bilinear")
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=7.5, pad=2.5, color=INK)
        for spine in axes.spines.values():
            spine.set(edgecolor=color, linewidth=2.6)

    for row, image in enumerate(examples):
        tile(row, 0, image, INK, f"example {row + 1}")
    for rank, (image, score, good) in enumerate(zip(found, scores, right, strict=True)):
        verdict = "right" if good else "wrong"
        color = HIT if good else FALSE_ALARM
        tile(rank // columns, 2 + rank % columns, image, color, f"{rank + 1} · {score:.2f} {verdict}")
    return figure


def clusters_figure(
    map_xy: NDArray[np.floating[Any]], label: NDArray[np.integer[Any]], members: Sequence[Sequence[Image]]
) -> Figure:
    """A map of places, coloured by cluster; beside it the most typical members of every cluster, a row each.

    Parameters
    ----------
    map_xy
        ``(n, 2)`` positions on the map: near is alike.
    label
        ``(n,)`` cluster of each, from 0; -1 = in none.
    members
        For each cluster central slabs ``(y, x)``, protein positive.
    """
    rows, columns = len(members), max(len(images) for images in members)
    figure = Figure(figsize=(0.62 * rows + 0.75 * columns + 1.5, max(0.75 * rows, 3.0)), layout="constrained")
    panel, tiles = figure.subfigures(1, 2, squeeze=False, width_ratios=[0.62 * rows + 1.0, 0.75 * columns + 0.5])[0]
    axes = panel.subplots()
    colors = [CLASS_COLORS[k % len(CLASS_COLORS)] for k in range(rows)]
    axes.scatter(*map_xy.T, s=9, c=[colors[k] if k >= 0 else "#d5dade" for k in label], linewidths=0)
    for k in range(rows):
        if (label == k).any():
            x, y = np.median(map_xy[label == k], axis=0)
            box = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": colors[k], "alpha": 0.85}
            axes.text(x, y, f"{k + 1}", fontsize=9, color=INK, ha="center", va="center", bbox=box)
    axes.set(xticks=[], yticks=[], title="every dot a particle-like place; near is alike; grey: in no cluster")
    axes.title.set(size=9, color=INK)
    pictures = [image for images in members for image in images]
    low, high = np.percentile(np.stack(pictures), (0.5, 99.5))
    grid = tiles.subplots(rows, columns, squeeze=False)
    for k, row in enumerate(grid):
        for axes, image in zip_longest(row, members[k]):
            axes.set(xticks=[], yticks=[])
            axes.set_visible(image is not None)
            if image is not None:
                axes.imshow(image, cmap="gray_r", vmin=low, vmax=high, origin="lower", interpolation="bilinear")
            for spine in axes.spines.values():
                spine.set(edgecolor=colors[k], linewidth=1.8)
        row[0].set_ylabel(f"{k + 1}", rotation=0, fontsize=9, color=INK, labelpad=9, va="center")
    return figure


def loss_figure(logs: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """One panel per training stage: the loss of every logged step, and its running mean.

    Parameters
    ----------
    logs
        For each stage its log lines: ``step`` and ``loss``, and ``val_loss`` where it was measured.
    """
    figure = Figure(figsize=(3.5 * max(1, len(logs)), 2.6), layout="constrained")
    panels = figure.subplots(1, max(1, len(logs)), squeeze=False)[0]
    for axes, (name, lines) in zip(panels, logs.items(), strict=False):
        steps, losses = (np.array([line[key] for line in lines if "loss" in line]) for key in ("step", "loss"))
        axes.plot(steps, losses, color=QUIET, lw=0.8, alpha=0.7)
        axes.plot(steps, running_mean(losses, max(1, len(losses) // 20)), color=ACCENT, lw=1.8, label="training")
        checks = [(line["step"], line["val_loss"]) for line in lines if "val_loss" in line]
        if checks:
            axes.plot(*zip(*checks, strict=True), color=CONTROL, lw=1.4, marker="o", ms=3.5, label="validation")
            axes.legend(frameon=False, fontsize=8)
        axes.set_title(name, fontsize=10, color=INK)
        axes.set(xlabel="step", ylabel="loss")
        bare_axes(axes)
    return figure


def running_mean(values: NDArray[Any], width: int) -> NDArray[np.float64]:
    """Centred mean over ``2 * width + 1`` values, over fewer at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    index = np.arange(len(values))
    first, last = np.maximum(index - width, 0), np.minimum(index + width + 1, len(values))
    return np.asarray((sums[last] - sums[first]) / (last - first))


def precision_recall_figure(curves: Mapping[str, Curve], title: str = "") -> Figure:
    """Precision against recall, one line per curve; a dot marks the threshold that was chosen."""
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.step(curve.recall, curve.precision, where="post", color=curve.color, lw=1.8, label=name)
        if curve.chosen is not None:
            axes.plot(*curve.chosen, "o", ms=7, mec=INK, mfc=curve.color, zorder=5, clip_on=False)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.03), xlabel="recall: share of the particles found")
    axes.set_ylabel("precision: share of the picks that are right")
    axes.set_title(title, fontsize=10, color=INK)
    if curves:
        axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    bare_axes(axes)
    return figure


def stage_figure(stages: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Bars of the seconds and of the peak memory of every stage, first stage at the top."""
    figure = Figure(figsize=(9.2, 0.34 * max(1, len(stages)) + 0.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = list(stages)
    for axes, key, label, color in (
        (left, "seconds", "seconds", ACCENT),
        (right, "peak_memory_gb", "peak memory, GB", CONTROL),
    ):
        values = [float(stages[name][key]) for name in names]
        bars = axes.barh(names, values, color=color, height=0.62)
        axes.bar_label(bars, fmt="%.0f" if key == "seconds" else "%.1f", fontsize=8, padding=3, color=INK)
        axes.set_xlabel(label)
        axes.margins(x=0.14)
        bare_axes(axes)
    left.invert_yaxis()
    return figure


def bare_axes(axes: Axes) -> None:
    """Keep the two axes that carry numbers."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(labelsize=8, colors=INK)
    axes.xaxis.label.set(size=9, color=INK)
    axes.yaxis.label.set(size=9, color=INK)
