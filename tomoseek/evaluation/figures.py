"""Pictures of an evaluation: curves, scores, confusion, and the tomograms themselves with hits and misses."""

from collections.abc import Iterable, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import binomtest

from tomoseek import plots
from tomoseek.evaluation.confusion import Confusion
from tomoseek.evaluation.ranking import Ranking
from tomoseek.evaluation.reliability import Reliability, reliability
from tomoseek.evaluation.slices import ScoredRun, titled_slice
from tomoseek.files import atomic_write_bytes

MAX_SLICES = 3
COLUMNS = 3
NUM_BARS = 25


def write_figures(
    folder: Path,
    evaluation: Mapping[str, Any],
    rankings: Mapping[str, Ranking],
    confusion: Confusion,
    runs: list[ScoredRun],
) -> list[Path]:
    """Draw everything and write it as PNG.

    Parameters
    ----------
    folder
        Where to.
    evaluation
        Content of ``evaluation.json``.
    rankings
        Class to candidates by falling score.
    confusion
        Which class is taken for which.
    runs
        The tomograms that are shown, with what was found in them.
    """
    radii = {name: row["radius_angstrom"] for name, row in evaluation["classes"].items()}
    colors = dict(zip(radii, cycle(plots.CLASS_COLORS), strict=False))
    thresholds = evaluation["settings"]["thresholds"] or {}
    subject = "candidates" if evaluation["settings"]["curves_from"] == "candidates" else "picks above the threshold"
    figures = {
        "precision_recall": curves_figure(evaluation, colors, subject),
        "scores": scores_figure(rankings, thresholds, subject),
        "confusion": confusion_figure(confusion),
    }
    by_score = {name: reliability(ranking.scores, ranking.right) for name, ranking in rankings.items()}
    if readable := {name: table for name, table in by_score.items() if table is not None}:
        figures["reliability"] = reliability_figure(readable, evaluation["classes"], subject)
    for run in runs[:MAX_SLICES]:
        figures[f"slice_{run.tomogram.run}"] = titled_slice(run, radii, colors)
    for name, figure in figures.items():
        atomic_write_bytes(folder / f"{name}.png", plots.to_png(figure))
    return [folder / f"{name}.png" for name in figures]


def curves_figure(evaluation: Mapping[str, Any], colors: Mapping[str, str], subject: str) -> Figure:
    """Precision against recall as the threshold is lowered, a panel per class; a dot marks the picks as they are."""
    figure, panels = panel_per_class(evaluation["curves"])
    for axes, (name, curve) in zip(panels, evaluation["curves"].items(), strict=True):
        row = evaluation["classes"][name]
        if curve["recall"] and None not in curve["recall"]:
            recall, precision = [0.0, *curve["recall"]], [curve["precision"][0], *curve["precision"]]
            axes.step(recall, precision, where="post", color=colors[name], lw=2.0)
            axes.plot(row["recall"], row["precision"], "o", ms=8, mec=plots.INK, mfc=colors[name], clip_on=False)
        axes.set(xlim=(0, 1.01), ylim=(0, 1.03))
        known = row["average_precision"]
        area = "no reference" if known is None else f"average precision {known:.2f}"
        axes.set_title(f"{name}: {area}", fontsize=10, color=plots.INK)
    name_axes(panels, "recall: share of particles found", "precision: share right")
    dot = Line2D(
        [], [], ls="", marker="o", ms=8, mec=plots.INK, mfc="white", label="the picks, at the threshold in use"
    )
    figure.legend(handles=[dot], loc="outside lower center", frameon=False, fontsize=9)
    figure.suptitle(f"Precision and recall from the best score down: {subject}", fontsize=12, color=plots.INK)
    return figure


def scores_figure(rankings: Mapping[str, Ranking], thresholds: Mapping[str, float], subject: str) -> Figure:
    """How many candidates of each score are right (upwards) and wrong (downwards), a panel per class."""
    every = np.concatenate([ranking.scores for ranking in rankings.values()])
    low, high = (min(0.0, every.min()), max(1.0, every.max())) if len(every) else (0.0, 1.0)
    edges = np.linspace(low, high, NUM_BARS + 1)
    figure, panels = panel_per_class(rankings)
    for axes, (name, ranking) in zip(panels, rankings.items(), strict=True):
        scores, right = ranking.scores, ranking.right
        right_count, wrong_count = (np.histogram(scores[kind], edges)[0] for kind in (right, ~right))
        axes.stairs(right_count, edges, fill=True, color=plots.HIT, label="right (upwards)")
        axes.stairs(-wrong_count, edges, fill=True, color=plots.FALSE_ALARM, label="wrong (downwards)")
        axes.axhline(0, color=plots.INK, lw=0.8)
        axes.set_yscale("symlog", linthresh=1.0, linscale=0.4)
        axes.set_ylim(-2 * max(10, wrong_count.max()), 2 * max(10, right_count.max()))
        axes.yaxis.set_major_formatter(lambda count, _: f"{abs(count):g}")
        if name in thresholds:
            axes.axvline(thresholds[name], color=plots.INK, lw=1.4, ls="--", label="threshold: picks lie right of it")
        title = f"{name}: {right.sum()} right, {(~right).sum()} wrong"
        axes.set_title(title, fontsize=10, color=plots.INK)
    name_axes(panels, "score", "number (log scale)")
    one_legend(figure, panels)
    figure.suptitle(f"Scores of right and wrong {subject}", fontsize=12, color=plots.INK)
    return figure


def reliability_figure(
    tables: Mapping[str, Reliability], classes: Mapping[str, Mapping[str, Any]], subject: str
) -> Figure:
    """Share of candidates that are right against their score, a panel per class, with 95 % intervals and counts."""
    figure, panels = panel_per_class(tables)
    for axes, (name, table) in zip(panels, tables.items(), strict=True):
        num_right = np.rint(table.share_right * table.count).astype(int)
        limits = [binomtest(k, n).proportion_ci(method="wilson") for k, n in zip(num_right, table.count, strict=True)]
        axes.plot([0, 1], [0, 1], color=plots.QUIET, lw=1.2, ls="--", label="score = share right")
        axes.vlines(table.mean_score, *zip(*limits, strict=True), color=plots.HIT, lw=1.6, label="95 % interval")
        axes.plot(
            table.mean_score, table.share_right, "o", color=plots.ACCENT, ms=5, clip_on=False, label="measured",
        )  # fmt: skip
        for x, (_, top), count in zip(table.mean_score, limits, table.count, strict=True):
            axes.annotate(f"{count}", (x, top), (0, 4), textcoords="offset points", ha="center", fontsize=7.5)
        axes.set(xlim=(-0.03, 1.02), ylim=(0, 1.12))
        errors = [classes[name][key] for key in ("expected_calibration_error", "expected_calibration_error_of_picks")]
        title = f"{name}\ncalibration error {errors[0]:.2f}"
        title += "" if errors[1] is None else f"; of the picks {errors[1]:.2f}"
        axes.set_title(title, fontsize=10, color=plots.INK)
    name_axes(panels, "score", "share that is right")
    one_legend(figure, panels)
    title = (
        f"Can scores be read as probabilities? Below the dashed line they promise too much.\nNumbers count {subject}."
    )
    figure.suptitle(title, fontsize=11, color=plots.INK)
    return figure


def confusion_figure(confusion: Confusion) -> Figure:
    """What picks lie on and, where any are missed, what was picked at missed references."""
    num_classes = len(confusion.classes)
    tables = [(confusion.picks, f"What the {confusion.picks.sum()} picks lie on", "picked as", "what is truly there")]
    if num_missed := confusion.missed.sum():
        title = f"What was picked at the {num_missed} missed references"
        tables.append((confusion.missed, title, "truly there, missed", "what was picked there"))
    width = len(tables) * (0.62 * num_classes + 1.2) + 1.6
    figure = Figure(figsize=(max(width, 6.0), 0.5 * num_classes + 2.6), layout="constrained")
    for axes, (counts, title, down, across) in zip(
        figure.subplots(1, len(tables), squeeze=False)[0], tables, strict=True
    ):
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1.2, aspect="auto")
        for (row, column), count in np.ndenumerate(counts):
            color = "white" if share[row, column] > 0.6 else plots.INK
            if count:
                axes.text(column, row, f"{count}", ha="center", va="center", fontsize=9, color=color)
        columns = [*confusion.classes, "nothing"]
        axes.set_xticks(range(num_classes + 1), columns, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
        axes.set_yticks(range(num_classes), confusion.classes, fontsize=8)
        axes.set_xlabel(across, fontsize=9, color=plots.INK)
        axes.set_ylabel(down, fontsize=9, color=plots.INK)
        axes.set_title(title, fontsize=10, color=plots.INK)
        axes.set_xticks(np.arange(num_classes) + 0.5, minor=True)
        axes.set_yticks(np.arange(num_classes - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white", lw=1.5)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_color(plots.QUIET)
    missed = "" if num_missed else "; no reference was missed"
    figure.suptitle(f"Which class is taken for which (colour: share of the row{missed})", fontsize=11, color=plots.INK)
    return figure


def panel_per_class(classes: Iterable[str]) -> tuple[Figure, list[Axes]]:
    """Lay out a panel for each class, at most three in a row."""
    count = max(1, len(list(classes)))
    columns, rows = min(count, COLUMNS), -(-count // COLUMNS)
    figure = Figure(figsize=(max(3.5 * columns, 7.0), 2.7 * rows + 0.8), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, list(panels[:count])


def name_axes(panels: list[Axes], across: str, upwards: str) -> None:
    """Name the axes along the left and the lower edge."""
    for axes in panels:
        plots.bare_axes(axes)
    for place, axes in enumerate(panels):
        axes.set_xlabel(across if place + COLUMNS >= len(panels) else "")
        axes.set_ylabel(upwards if place % COLUMNS == 0 else "")


def one_legend(figure: Figure, panels: list[Axes]) -> None:
    """Put one legend for all panels below them."""
    entries: dict[str, Any] = {}
    for axes in panels:
        entries |= {text: handle for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    handles, texts = list(entries.values()), list(entries)
    figure.legend(handles, texts, loc="outside lower center", ncols=len(texts), frameon=False, fontsize=9)
