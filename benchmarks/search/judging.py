"""What judgements are worth: how near a promise comes to the truth, and how good picks get, by the number of them.

    python -m benchmarks.search.judging --maps ../shared/data/maps --encoder shipped

The tomograms of `benchmarks.pretraining.probe`. Five examples from one tomogram start a search in all three, by turns,
several draws. Then a person, who knows the truth, judges the finds that `embed browse` offers as most useful, ten at a
time. *Off*: expected less true precision of the picks at the threshold that is chosen for the best expected balance.
*Within*: how often the interval of 90 % holds the truth. *F1*: of the picks, judged ones included, after a search in
which accepted finds are examples and rejected ones negatives; and, of the same number of clicks spent on further
examples alone, drawn from all tomograms. Prints Markdown.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.known_tomograms import STANDARD, KnownTomograms, build_index, draw_examples, make_tomograms
from embed.examples import Examples, merge_examples, read_examples
from embed.finds import Finds, Judged
from embed.index import Index
from embed.search import search
from tomoseek.evaluation.ranking import rank
from tomoseek.picks.points import Picks
from tomoseek.running import pick_device, progress

SHOTS, STEP, MOST = 5, 10, 40
AFTER = (0, 10, 20, 40)

Points = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Moment:
    """After some judgements: expected less true precision, whether the interval held the truth, F1 both ways."""

    off: float
    within: bool
    f1: float
    f1_clicks: float


def true_finds(finds: Finds, truth: Points, radius: float) -> NDArray[np.bool_]:
    """Tell which finds lie on a particle, each particle taken once, best first."""
    right = np.zeros(len(finds.scores), dtype=bool)
    for run, points in truth.items():
        here = np.flatnonzero(finds.run == run)
        ranked = rank({run: points}, {run: Picks(finds.xyz[here], finds.scores[here])}, radius)
        order = here[np.argsort(-finds.scores[here], kind="stable")]
        right[order] = ranked.right
    return right


def f1(picked: NDArray[np.bool_], right: NDArray[np.bool_], total: int) -> float:
    """Harmonic mean of precision and recall."""
    hits = int((picked & right).sum())
    return 2 * hits / max(int(picked.sum()) + total, 1)


def session(index: Index, known: KnownTomograms, key: str, support: int, draw: int) -> dict[int, Moment]:
    """Search for one class, judge, search again."""
    runs = [tomogram.run for tomogram in known.tomograms]
    truth = {run: known.points[k][key] for k, run in enumerate(runs)}
    total, radius = sum(map(len, truth.values())), known.radii[key]
    first = {runs[support]: draw_examples(truth[runs[support]], support, SHOTS, draw)}
    judged: list[Judged] = []
    moments = {}
    for spent in range(0, MOST + 1, STEP):
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
        sums, counts = np.cumsum(promise.probability), np.arange(1, len(right) + 1)
        threshold = finds.scores[int(np.argmax(2 * sums / (counts + sums[-1])))] if len(right) else 1.0
        picked = finds.scores >= threshold
        if spent in AFTER:
            expected = promise.expected(picked)
            share = float(right[picked].mean()) if picked.any() else 0.0
            low, high = expected.precision_interval
            kept = picked & (promise.right != 0) | (promise.right == 1)
            moments[spent] = Moment(
                expected.precision - share, low - 1e-9 <= share <= high + 1e-9, f1(kept, right, total),
                _clicks_alone(index, known, key, runs, truth, first, spent, draw),
            )  # fmt: skip
        for number in promise.most_telling(picked, STEP)[0]:
            x, y, z = finds.xyz[number].tolist()
            judged.append(Judged(str(finds.run[number]), (x, y, z), bool(right[number]), float(finds.odds[number])))
    return moments


def _clicks_alone(
    index: Index, known: KnownTomograms, key: str, runs: list[str], truth: Points, first: Points, spent: int, draw: int
) -> float:
    """F1 after as many further clicks on particles, and no judgement."""
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
    return f1(finds.scores >= found.cutoff.threshold, right, sum(map(len, truth.values())))


def _by_run(judged: list[Judged]) -> Points:
    gathered: dict[str, list[tuple[float, float, float]]] = {}
    for each in judged:
        gathered.setdefault(each.run, []).append(each.xyz)
    return {run: np.array(value) for run, value in gathered.items()}


def _read(index: Index, points: Points, reach: float) -> list[Examples]:
    return [read_examples(index, value, run, reach) for run, value in points.items()]


def main() -> None:
    """Print a table for each regime."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, required=True, help="folder of density maps named after their PDB entries")
    parser.add_argument("--encoder", default="shipped")
    parser.add_argument("--regimes", nargs="+", choices=STANDARD, default=["bright", "dim", "in situ"])
    parser.add_argument("--development", action="store_true", help="other complexes and tomograms, to develop on")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    print("| regime | judged | precision off by | signed | within the interval | F1 | F1, clicks alone |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in arguments.regimes:
        known = make_tomograms(name, arguments.maps, arguments.development)
        with tempfile.TemporaryDirectory() as folder:
            index = build_index(Path(folder) / "index", arguments.encoder, known, pick_device(arguments.device))
            asked = [
                (key, s, d) for key in known.radii for s in range(len(known.points)) for d in range(arguments.draws)
            ]
            sessions = [session(index, known, *each) for each in progress(asked, f"judge {name}", "session")]
        for spent in AFTER:
            moments = [each[spent] for each in sessions]
            off = np.array([each.off for each in moments])
            cells = [
                f"{np.abs(off).mean():.2f}", f"{off.mean():+.2f}", f"{np.mean([e.within for e in moments]):.0%}",
                f"{np.mean([e.f1 for e in moments]):.2f}", f"{np.mean([e.f1_clicks for e in moments]):.2f}",
            ]  # fmt: skip
            print(f"| {name} | {spent} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
