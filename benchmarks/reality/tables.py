"""The records as Markdown."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.reality.record import Record
from benchmarks.reality.unlabelled import VOLUMES

HEAD = ("| method | examples | among the first N | 2N | 4N |", "|---" * 5 + "|")


def recall_row(method: str, examples: str, figures: list[list[float]]) -> str:
    """Mean and spread over draws ``(d, 3)``."""
    table = np.array(figures)
    cells = [f"{mean:.2f} ± {spread:.2f}" for mean, spread in zip(table.mean(0), table.std(0), strict=True)]
    return f"| {method} | {examples} | {' | '.join(cells)} |"


def markdown(records: dict[str, Record], spacings: Iterable[float]) -> str:
    """Lay out what was measured: recall in the lamella, particle logits there, and the volumes without references."""
    recalls, logits, others = [], [], []
    for name, record in records.items():
        for part, measured in sorted(record.parts.items(), key=lambda item: place_of(item[0])):
            subject, _, spacing = part.partition(" @ ")
            if spacing and float(spacing) not in spacings:
                continue
            at = f", {float(spacing):g} Å" if spacing else ""
            match subject.split("; "):
                case ["recall", method, examples]:
                    label = method if name == "controls" else f"{name}{at}: {method}"
                    recalls.append(recall_row(label, examples, measured["result"]))
                case ["blobs"]:
                    widths = " and ".join(f"{width:g}" for width in measured["result"]["sigmas"])
                    label = f"difference of Gaussians, best widths: {widths} voxels"
                    recalls.append(recall_row(label, "none", measured["result"]["recalls"]))
                case ["halves"]:
                    for method, words in (("cosine", "plain cosine with the mean"), ("probe", "linear probe")):
                        recalls.append(recall_row(f"{name}{at}: {words}", "half of all", measured["result"][method]))
                case ["logits"]:
                    logits.append(logit_row(f"{name}{at}", measured["result"]))
                case ["unlabelled"]:
                    others.append(unlabelled_row(name, measured["result"]))
    tables = ["\n".join([*HEAD, *recalls])]
    if logits:
        head = "| encoder | area under the curve | within 25 Å | median at references | elsewhere |"
        tables.append("\n".join([head, "|---" * 5 + "|", *logits]))
    if others:
        head = f"| encoder | {' | '.join(volume.run for volume in VOLUMES)} |"
        tables.append("\n".join([head, "|---" * (len(VOLUMES) + 1) + "|", *others]))
    return "\n\n".join(tables)


def place_of(part: str) -> tuple[bool, int]:
    """Put searches first, from few to many examples; all else stays in the order in which it was measured."""
    subject = part.partition(" @ ")[0].split("; ")
    is_search = subject[:2] == ["recall", "search"]
    return not is_search, int(subject[2]) if is_search else 0


def logit_row(name: str, result: dict[str, Any]) -> str:
    """How well the particle logit tells references from other places of the slab."""
    return (
        f"| {name} | {result['area']:.2f} ± {result['spread']:.2f} | {result['area, best within 25 Å']:.2f} "
        f"| {result['median at references']:.1f} | {result['median elsewhere']:.1f} |"
    )


def unlabelled_row(name: str, result: dict[str, Any]) -> str:
    """Share of cells above even odds, and number of particle-like places, volume by volume."""
    cells = []
    for volume in VOLUMES:
        each = result.get(volume.run)
        cells.append(f"{each['cells above even odds']:.1%}, {each['particle-like places']} places" if each else "")
    return f"| {name} | {' | '.join(cells)} |"
