"""The tables of what has been measured so far."""

from collections import defaultdict
from typing import Any

import numpy as np

from benchmarks.picker.peers.projects import CLASSES, SCORED_ON

Record = dict[str, Any]


def markdown(records: list[Record], project: str) -> str:
    """Return two tables with a row for each number of labelled tomograms and method, means over seeds.

    The first has weighted F4 and average precision for each set of scored runs, the second F4 / average precision of
    each class on the first set.
    """
    groups: dict[tuple[int, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record["labels"], record["method"]].append(record)
    parts = list(SCORED_ON[project])
    totals = [["labelled", "method", "steps", *(f"{part}: {key}" for part in parts for key in ("weighted F4", "AP"))]]
    classes = [["labelled", "method", *CLASSES]]
    for (labels, method), group in sorted(groups.items()):
        group.sort(key=lambda record: record["seed"])
        steps = np.mean([record["settings"]["num_steps"] for record in group])
        row = [f"{labels}", method, f"{steps:.0f}"]
        for part in parts:
            row += total_cells([record["scores"][part] for record in group])
        totals.append(row)
        scores = [record["scores"][parts[0]]["classes"] for record in group]
        classes.append([f"{labels}", method, *(class_cell([score[name] for score in scores]) for name in CLASSES)])
    return f"{lines(totals)}\n\n{lines(classes)}"


def total_cells(scores: list[dict[str, Any]]) -> list[str]:
    """Return weighted F4, with each seed's where there are several, and mean average precision."""
    total = [score["weighted_f4"] for score in scores]
    each = f" ({', '.join(f'{value:.3f}' for value in total)})" if len(total) > 1 else ""
    precision = np.mean([[s["classes"][name]["average_precision"] for name in CLASSES] for s in scores])
    return [f"**{np.mean(total):.3f}**{each}", f"{precision:.2f}"]


def class_cell(scores: list[dict[str, float]]) -> str:
    """Return F4 / average precision of one class."""
    return " / ".join(f"{np.mean([score[key] for score in scores]):.2f}" for key in ("f4", "average_precision"))


def lines(rows: list[list[str]]) -> str:
    """Return a header and rows as a Markdown table."""
    header, *rest = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rest])
