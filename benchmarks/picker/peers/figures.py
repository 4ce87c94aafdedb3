"""The label-efficiency curve: weighted F4 against the number of labelled tomograms, a line to a method."""

from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.picker.peers.projects import SCORED_ON
from tomoseek import plots

TITLES = {"test": "tomograms like those learned from", "shifted": "dimmer, further from focus, in thicker ice"}
COLORS = [plots.CLASS_COLORS[k] for k in (4, 0, 2, 6, 5, 1)]  # yellow lines are hard to see


def label_efficiency(records: list[dict[str, Any]], project: str) -> Figure:
    """A panel for each set of scored runs; a dot is one seed, a line the mean over seeds.

    Methods measured at one number of labelled tomograms only are left to the table.
    """
    labels = {method: set() for method in (record["method"] for record in records)}
    for record in records:
        labels[record["method"]].add(record["labels"])
    methods = sorted(method for method, numbers in labels.items() if len(numbers) > 1)
    parts = list(SCORED_ON[project])
    figure = Figure(figsize=(4.2 * len(parts), 3.4), layout="constrained")
    panels = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    for axes, part in zip(panels, parts, strict=True):
        for method, color in zip(methods, cycle(COLORS), strict=False):
            numbers = sorted(labels[method])
            scores = [
                [r["scores"][part]["weighted_f4"] for r in records if (r["method"], r["labels"]) == (method, number)]
                for number in numbers
            ]
            means = [float(np.mean(values)) for values in scores]
            axes.plot(numbers, means, color=color, lw=1.8, label=method)
            for number, values in zip(numbers, scores, strict=True):
                axes.plot([number] * len(values), values, "o", color=color, ms=4, alpha=0.8, mec="none")
        axes.set_title(TITLES.get(part, part), fontsize=10, color=plots.INK)
        axes.set(xlabel="labelled tomograms", xticks=sorted(set().union(*labels.values())))
        plots.bare_axes(axes)
    panels[0].set(ylabel="weighted F4", ylim=(panels[0].get_ylim()[0], 1.0))
    if methods:
        panels[-1].legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
