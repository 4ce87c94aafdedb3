"""The table of what has been measured so far."""

from collections import defaultdict
from typing import Any

import numpy as np

from benchmarks.peers.projects import CLASSES, SCORED_ON

Record = dict[str, Any]


def markdown(records: list[Record], project: str) -> str:
    """One row per number of labelled tomograms and method, means over seeds."""
    groups: dict[tuple[int, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record["labels"], record["method"]].append(record)
    parts = list(SCORED_ON[project])
    header = ["labelled", "method", "steps", "CPU s"]
    for part in parts:
        header += [f"{part}: weighted F4 (seeds)", "AP", *(f"F4 {name}" for name in CLASSES)]
    rows = [header, ["---"] * len(header)]
    for (labels, method), group in sorted(groups.items()):
        group.sort(key=lambda record: record["seed"])
        seconds = np.mean([record["processor_seconds"] for record in group])
        steps = np.mean([record["settings"]["num_steps"] for record in group])
        row = [f"{labels}", method, f"{steps:.0f}", f"{seconds:.0f}"]
        for part in parts:
            row += cells([record["scores"][part] for record in group])
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def cells(scores: list[dict[str, Any]]) -> list[str]:
    """Weighted F4 with each seed's, mean average precision, F4 of each class."""
    total = [score["weighted_f4"] for score in scores]
    each = ", ".join(f"{value:.3f}" for value in total)
    precision = np.mean([[s["classes"][name]["average_precision"] for name in CLASSES] for s in scores])
    f4 = [f"{np.mean([s['classes'][name]['f4'] for s in scores]):.2f}" for name in CLASSES]
    return [f"**{np.mean(total):.3f}** ({each})", f"{precision:.3f}", *f4]
