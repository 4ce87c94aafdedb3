"""What judgements are worth: how near a promise comes to the truth, and how good picks get, by the number of them.

    python -m benchmarks.search.judging --maps ../shared/data/maps --encoder shipped --picture judging.png

The tomograms of `benchmarks.pretraining.probe`. Five examples from one tomogram start a search in all three, by turns,
several draws. Then a person, who knows the truth, judges the finds that `embed browse` offers as most useful, ten at a
time. *Off*: expected less true precision of the picks at the threshold that is chosen for the best expected balance.
*Within*: how often the interval of 90 % holds the truth. *Precision* and *recall*: of the picks, rejected ones left
out, after a search in which accepted finds are examples and rejected ones negatives; and, of the same number of clicks
spent on further examples alone, drawn from all tomograms. *Both 0.9*: sessions in which precision and recall have been
0.9 or more at once by then. Prints Markdown.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.known_tomograms import STANDARD, KnownTomograms, build_index, draw_examples, make_tomograms
from embed.examples import Examples, merge_examples, read_examples
from embed.finds import Finds, Judged
from embed.index import Index
from embed.promise import choose_cutoff
from embed.search import search
from tomoseek import plots
from tomoseek.evaluation.ranking import rank
from tomoseek.files import atomic_write_bytes
from tomoseek.picks.points import Picks
from tomoseek.running import pick_device, progress

SHOTS, STEP, MOST = 5, 10, 50
AFTER = tuple(range(0, MOST + 1, STEP))
GOOD = 0.9

Points = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Moment:
    """After some judgements: expected less true precision, whether the interval held the truth, precision and recall.

    ``clicked``: precision and recall after as many clicks instead.
    """

    off: float
    within: bool
    judged: tuple[float, float]
    clicked: tuple[float, float]


def true_finds(finds: Finds, truth: Points, radius: float) -> NDArray[np.bool_]:
    """Tell which finds lie on a particle, each particle taken once, best first."""
    right = np.zeros(len(finds.scores), dtype=bool)
    for run, points in truth.items():
        here = np.flatnonzero(finds.run == run)
        ranked = rank({run: points}, {run: Picks(finds.xyz[here], finds.scores[here])}, radius)
        order = here[np.argsort(-finds.scores[here], kind="stable")]
        right[order] = ranked.right
    return right


def precision_and_recall(picked: NDArray[np.bool_], right: NDArray[np.bool_], total: int) -> tuple[float, float]:
    """Return both; no pick at all has a precision of 0."""
    hits = int((picked & right).sum())
    return hits / max(int(picked.sum()), 1), hits / max(total, 1)


def session(index: Index, known: KnownTomograms, key: str, support: int, draw: int) -> list[Moment]:
    """Search for one class, judge, search again."""
    runs = [tomogram.run for tomogram in known.tomograms]
    truth = {run: known.points[k][key] for k, run in enumerate(runs)}
    total, radius = sum(map(len, truth.values())), known.radii[key]
    first = {runs[support]: draw_examples(truth[runs[support]], support, SHOTS, draw)}
    judged: list[Judged] = []
    moments = []
    for spent in AFTER:
        accepted = _by_run([each for each in judged if each.right])
        rejected = _by_run([each for each in judged if not each.right])
        examples = _read(index, first, 50.0) + _read(index, accepted, 0.0)
        unwanted = _read(index, rejected, 0.0)
        found = search(
            index, merge_examples(examples), radius_angstrom=radius, name=key, runs=runs,
            negatives=merge_examples(unwanted) if unwanted else None,
        )  # fmt: skip
        finds = Finds.of(found)
        right = true_finds(finds, truth, radius)
        promise = finds.promise(judged)
        picked = finds.scores >= choose_cutoff(finds.scores, promise.probability, None).threshold
        expected = promise.expected(picked)
        share = float(right[picked].mean()) if picked.any() else 0.0
        low, high = expected.precision_interval
        kept = picked & (promise.right != 0) | (promise.right == 1)
        moments.append(
            Moment(
                expected.precision - share, low - 1e-9 <= share <= high + 1e-9,
                precision_and_recall(kept, right, total),
                _clicks_alone(index, known, key, runs, truth, first, spent, draw),
            )
        )  # fmt: skip
        for number in promise.most_telling(picked, STEP)[0]:
            x, y, z = finds.xyz[number].tolist()
            judged.append(Judged(str(finds.run[number]), (x, y, z), bool(right[number]), float(finds.odds[number])))
    return moments


def _clicks_alone(
    index: Index, known: KnownTomograms, key: str, runs: list[str], truth: Points, first: Points, spent: int, draw: int
) -> tuple[float, float]:
    """Precision and recall after as many further clicks on particles, and no judgement."""
    everywhere = [(run, point) for run in runs for point in truth[run]]
    order = np.random.default_rng([draw, 7]).permutation(len(everywhere))[:spent]
    more: dict[str, list[Any]] = {}
    for number in order:
        run, point = everywhere[number]
        more.setdefault(run, []).append(point)
    examples = _read(index, first, 50.0) + _read(index, {run: np.array(value) for run, value in more.items()}, 50.0)
    found = search(index, merge_examples(examples), radius_angstrom=known.radii[key], name=key, runs=runs)
    finds = Finds.of(found)
    right = true_finds(finds, truth, known.radii[key])
    return precision_and_recall(finds.scores >= found.cutoff.threshold, right, sum(map(len, truth.values())))


def _by_run(judged: list[Judged]) -> Points:
    gathered: dict[str, list[tuple[float, float, float]]] = {}
    for each in judged:
        gathered.setdefault(each.run, []).append(each.xyz)
    return {run: np.array(value) for run, value in gathered.items()}


def _read(index: Index, points: Points, reach: float) -> list[Examples]:
    return [read_examples(index, value, run, reach) for run, value in points.items()]


def reached(sessions: list[list[Moment]], way: str, until: int) -> float:
    """Share of the sessions in which precision and recall have been good at once by a moment."""
    return float(np.mean([any(min(getattr(each, way)) >= GOOD for each in one[: until + 1]) for one in sessions]))


def curves(by_regime: dict[str, list[list[Moment]]]) -> Figure:
    """Draw mean precision and recall over what was spent, judgements and clicks."""
    figure = Figure(figsize=(3.2 * len(by_regime), 2.8), layout="constrained")
    for axes, (regime, sessions) in zip(np.ravel(figure.subplots(1, len(by_regime))), by_regime.items(), strict=True):
        for way, style, word in (("judged", "-", "finds judged"), ("clicked", ":", "further examples")):
            means = np.mean([[getattr(each, way) for each in one] for one in sessions], axis=0)
            for values, color, name in zip(
                means.T, (plots.ACCENT, plots.CONTROL), ("precision", "recall"), strict=True
            ):
                axes.plot(AFTER, values, style, color=color, label=f"{name}, {word}")
        axes.set(title=regime, xlabel="answers or clicks", ylim=(0, 1.02))
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(fontsize=7, frameon=False)
    return figure


def main() -> None:
    """Print a table for each regime."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, required=True, help="folder of density maps named after their PDB entries")
    parser.add_argument("--encoder", default="shipped")
    parser.add_argument("--regimes", nargs="+", choices=STANDARD, default=["bright", "dim", "in situ"])
    parser.add_argument("--development", action="store_true", help="other complexes and tomograms, to develop on")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--picture", type=Path, help="gets curves, as PNG")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    header = ["regime", "judged", "precision off by", "signed", "within the interval"]
    header += [f"{what}{way}" for way in ("", ", clicks alone") for what in ("precision", "recall", "both 0.9")]
    print(f"| {' | '.join(header)} |", "|---" * len(header) + "|", sep="\n")
    by_regime = {}
    for name in arguments.regimes:
        known = make_tomograms(name, arguments.maps, arguments.development)
        with tempfile.TemporaryDirectory() as folder:
            index = build_index(Path(folder) / "index", arguments.encoder, known, pick_device(arguments.device))
            asked = [
                (key, s, d) for key in known.radii for s in range(len(known.points)) for d in range(arguments.draws)
            ]
            sessions = [session(index, known, *each) for each in progress(asked, f"judge {name}", "session")]
        by_regime[name] = sessions
        for number, spent in enumerate(AFTER):
            moments = [each[number] for each in sessions]
            off = np.array([each.off for each in moments])
            cells = [f"{np.abs(off).mean():.2f}", f"{off.mean():+.2f}", f"{np.mean([e.within for e in moments]):.0%}"]
            for way in ("judged", "clicked"):
                cells += [f"{value:.2f}" for value in np.mean([getattr(e, way) for e in moments], axis=0)]
                cells.append(f"{reached(sessions, way, number):.0%}")
            print(f"| {name} | {spent} | {' | '.join(cells)} |", flush=True)
    if arguments.picture:
        atomic_write_bytes(arguments.picture, plots.to_png(curves(by_regime)))


if __name__ == "__main__":
    main()
