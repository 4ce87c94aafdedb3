"""Search from a few examples as `embed query` does it: average precision, and whether its thresholds keep their word.

    python -m benchmarks.search.examples --maps ../shared/data/maps --encoder shipped
    python -m benchmarks.search.examples --maps ../shared/data/maps --encoder shipped --development

The tomograms of `benchmarks.pretraining.probe`, embedded into an index on disk. Examples come from one tomogram, the
other two are searched, by turns; every class, several draws. "Promise" is the expected precision that the query
reports for a threshold, without ground truth; "kept" the precision there was. Negatives are the best wrong picks in
the tomogram of the examples, as one would mark them after a first look. Clicks are examples two voxels off along each
axis, searched with as they are, and after they were moved onto their particles (`embed.examples`). Prints Markdown.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from benchmarks.known_tomograms import STANDARD, KnownTomograms, build_index, draw_examples, make_tomograms
from embed.examples import Examples, read_examples
from embed.index import Index
from embed.promise import LOWEST_SCORE, choose_cutoff
from embed.prototype import RIVAL_WEIGHT
from embed.search import Found, search
from tomoseek.evaluation.ranking import score_ranking
from tomoseek.files import atomic_write_json
from tomoseek.picks.points import Picks
from tomoseek.running import pick_device, progress

SHOTS = (1, 3, 5, 10, 20)  # 20 is every one in a tomogram
WANTED = (0.5, 0.7, 0.9)
NUM_NEGATIVES = 5
AVERAGED = ("plain", "rivals", "negatives", "as_clicked", "recentred")
CLICK_VOXELS = 2.0  # standard deviation of careless clicks, along each axis


def above(picks: dict[str, Picks], threshold: float) -> dict[str, Picks]:
    """Keep picks from a score on."""
    return {
        run: Picks(found.points_xyz[found.scores >= threshold], found.scores[found.scores >= threshold])
        for run, found in picks.items()
    }


def trial(index: Index, known: KnownTomograms, key: str, support: int, shots: int, seed: int) -> dict[str, Any]:
    """Search for one class from one draw of examples, with rivals and without."""
    runs = [tomogram.run for tomogram in known.tomograms]
    points = known.points[support][key]
    chosen = draw_examples(points, support, shots, seed)
    examples = read_examples(index, chosen, runs[support])
    entry = index.entries[runs[support]]
    noise = np.random.default_rng([seed, support, shots]).normal(0, CLICK_VOXELS, chosen.shape)
    clicks = chosen + noise * entry.voxel_spacing
    clicks = np.clip(clicks, 0, (np.array(entry.shape)[::-1] - 1) * entry.voxel_spacing)
    others = {run: known.points[k][key] for k, run in enumerate(runs) if k != support}

    def look(
        names: list[str], rival_weight: float = RIVAL_WEIGHT, negatives: Examples | None = None,
        examples: Examples = examples,
    ) -> Found:  # fmt: skip
        return search(
            index, examples, radius_angstrom=known.radii[key], runs=names, threshold=LOWEST_SCORE,
            rival_weight=rival_weight, negatives=negatives,
        )  # fmt: skip

    plain = look(list(others), 0.0, examples=read_examples(index, chosen, runs[support], 0))
    found = look(list(others))
    as_clicked = look(list(others), examples=read_examples(index, clicks, runs[support], 0))
    recentred = look(list(others), examples=read_examples(index, clicks, runs[support]))
    at_home = look([runs[support]]).by_run[runs[support]].points_xyz
    wrong = at_home[cKDTree(points).query(at_home)[0] > known.radii[key]][:NUM_NEGATIVES]
    corrected = look(list(others), negatives=read_examples(index, wrong, runs[support], 0) if len(wrong) else None)
    whole = score_ranking(others, found.by_run, known.radii[key])
    record = {
        "plain": score_ranking(others, plain.by_run, known.radii[key])["average_precision"],
        "rivals": whole["average_precision"],
        "negatives": score_ranking(others, corrected.by_run, known.radii[key])["average_precision"],
        "as_clicked": score_ranking(others, as_clicked.by_run, known.radii[key])["average_precision"],
        "recentred": score_ranking(others, recentred.by_run, known.radii[key])["average_precision"],
        "best_f1": whole["best_f1"],
        "promises": [],
    }
    for precision in (*WANTED, None):
        cutoff = choose_cutoff(*found.ranked, precision)
        true = score_ranking(others, above(found.by_run, cutoff.threshold), known.radii[key])
        kept = {"wanted": precision, "promised": cutoff.precision, "precision": true["precision"]}
        kept |= {"promised_recall": cutoff.recall, "recall": true["recall"]}
        record["promises"].append(kept)
    return record


def summary(trials: list[dict[str, Any]]) -> list[str]:
    """Columns of the table."""
    kept = [p for t in trials for p in t["promises"] if p["wanted"] and p["promised"] >= p["wanted"]]
    error = [abs(p["promised"] - p["precision"]) for p in kept]
    bias = [p["promised"] - p["precision"] for p in kept]
    balanced = [t["promises"][-1] for t in trials]
    f1 = [2 * p["precision"] * p["recall"] / max(p["precision"] + p["recall"], 1e-9) for p in balanced]
    means = [np.mean([t[key] for t in trials]) for key in AVERAGED]
    shown = [*means, np.mean(f1), np.mean([t["best_f1"] for t in trials]), np.mean(error), np.mean(bias)]
    return [*(f"{value:.2f}" for value in shown[:-1]), f"{shown[-1]:+.2f}", f"{len(kept) / len(trials) / 3:.0%}"]


def main() -> None:
    """Search, score, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, help="folder of density maps named after their PDB entries")
    parser.add_argument("--encoder", default="shipped")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--development", action="store_true", help="other complexes and tomograms, to develop on")
    parser.add_argument("--out", type=Path, default=Path("search_from_examples.json"))
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    header = ["tomograms, examples", "AP, plain cosine", "AP, as query does it", "AP, and five negatives"]
    header += ["AP, clicks two voxels off, as they are", "re-centred", "F1 at its own threshold"]
    header += ["best F1 of any threshold", "promise less kept, absolute", "signed", "promises given"]
    lines, records = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"], {}
    for regime in STANDARD:
        known = make_tomograms(regime, arguments.maps, arguments.development)
        with tempfile.TemporaryDirectory() as folder:
            index = build_index(Path(folder) / "index", arguments.encoder, known, device)
            for shots in progress(SHOTS, f"search {regime}", "number of examples"):
                trials = [
                    {"class": key, **trial(index, known, key, support, shots, seed)}
                    for key in known.radii
                    for support in range(len(known.tomograms))
                    for seed in range(arguments.seeds)
                ]
                records[f"{regime}, {shots}"] = trials
                lines.append(f"| {regime}, {shots} | {' | '.join(summary(trials))} |")
    atomic_write_json(arguments.out, records)
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
