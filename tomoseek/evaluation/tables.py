"""The scores of an evaluation as lines to print, none wider than about 110 characters."""

from collections.abc import Mapping, Sequence
from typing import Any

from tomoseek.evaluation.confusion import Confusion, IntArray
from tomoseek.messages import listed

MAX_OTHERS = 3


def score_table(evaluation: Mapping[str, Any]) -> str:
    """Return a row per class and the weighted F4 below; 95 % intervals, where there are any, beside their scores."""
    classes = evaluation["classes"]
    width = max(map(len, [*classes, "class"])) + 1
    with_intervals = any(row["f4_interval"] for row in classes.values())
    gap = " " * 10 if with_intervals else ""
    lines = [
        f"{'class':<{width}}{'w':>3}{'F4':>6}{gap}{'prec.':>6}{gap}{'rec.':>6}{gap}{'F1':>6}{'AP':>6}{'F1max':>6}"
        f"{'med. Å':>7}{'TP':>5}{'FP':>5}{'FN':>5}"
    ]
    for name, row in classes.items():
        cells = [f"{name:<{width}}{row['weight']:>3g}"]
        for key in ("f4", "precision", "recall"):
            cells.append(f"{format_number(row[key], 3):>6}")
            if with_intervals:
                cells.append(f"{format_interval(row[f'{key}_interval']):>10}")
        cells += [f"{format_number(row[key], 3):>6}" for key in ("f1", "average_precision", "best_f1")]
        cells += [f"{format_number(row['median_localisation_error_angstrom'], 1):>7}"]
        cells += [f"{row[key]:>5}" for key in ("tp", "fp", "fn")]
        lines.append("".join(cells))
    runs = evaluation["runs"]
    bounds = evaluation["weighted_f4_interval"]
    within = f" ({format_interval(bounds)} in 95 % of draws of the runs)" if bounds else ""
    total = format_number(evaluation["weighted_f4"], 3)
    return "\n".join(
        [*lines, f"weighted F4 {total}{within} on {len(runs)} run{'s' * (len(runs) > 1)}: {', '.join(runs)}"]
    )


def confusion_table(confusion: Confusion) -> str:
    """Return what picks lie on and what was picked at missed references, for classes taken for another."""
    width = max(map(len, confusion.classes)) + 1
    lines = [f"{'picked as':<{width}}{'picks':>7}{'own':>7}{'nothing':>9}  on another class"]
    lines += [
        f"{name:<{width}}{row.sum():>7}{row[place]:>7}{row[-1]:>9}  {others}"
        for place, (name, row) in enumerate(zip(confusion.classes, confusion.picks, strict=True))
        if (others := most_frequent_others(confusion.classes, row, place))
    ]
    missed = [
        f"{name:<{width}}{row.sum():>7}{'':>7}{row[-1]:>9}  {others}"
        for place, (name, row) in enumerate(zip(confusion.classes, confusion.missed, strict=True))
        if (others := most_frequent_others(confusion.classes, row, place))
    ]
    if missed:
        missed = [f"{'missed':<{width}}{'missed':>7}{'':>7}{'nothing':>9}  another class picked there", *missed]
    return "\n".join([*(lines if len(lines) > 1 else []), *missed])


def most_frequent_others(classes: Sequence[str], row: IntArray, own: int) -> str:
    """Return the other classes of a row with their counts, the most frequent first."""
    others = sorted((-int(row[k]), name) for k, name in enumerate(classes) if k != own and row[k])
    return listed([f"{name} {-count}" for count, name in others], most=MAX_OTHERS) if others else ""


def format_number(value: float | None, num_decimals: int) -> str:
    """Return a number, or a dash where nothing can be said."""
    return "-" if value is None else f"{value:.{num_decimals}f}"


def format_interval(bounds: Sequence[float] | None) -> str:
    """Return bounds to two decimals."""
    return "-" if bounds is None else f"{bounds[0]:.2f}-{bounds[1]:.2f}"
