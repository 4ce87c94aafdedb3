"""Several objects in one query: what it gives to know of each other, over searching for each alone.

    python -m benchmarks.search.several_objects --maps ../shared/data/maps --development
    python -m benchmarks.search.several_objects --maps ../shared/data/maps

The tomograms of `benchmarks.pretraining.probe`, five examples of every class from one tomogram, the other two are
searched, by turns; several draws. "Negatives": the examples of all other classes tell a search what it is not. "One
particle to a place": `embed.conflicts`, as `embed query` does it. "Promise": the precision that the query expects.
Prints Markdown.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.known_tomograms import STANDARD, KnownTomograms, build_index, draw_examples, make_tomograms
from embed.conflicts import resolve_conflicts
from embed.examples import merge_examples, read_examples
from embed.index import Index
from embed.promise import LOWEST_SCORE
from embed.search import Found, search
from tomoseek.evaluation.ranking import score_ranking
from tomoseek.running import pick_device, progress

SHOTS, ENCODER = 5, "shipped"
FIGURES = ("average precision", "precision", "recall", "F1", "promise")


def trial(index: Index, known: KnownTomograms, support: int, seed: int) -> dict[str, list[list[float]]]:
    """Search for all classes from one draw of examples; `FIGURES` of each class, by way of searching."""
    runs = [tomogram.run for tomogram in known.tomograms]
    truth = {run: known.points[k] for k, run in enumerate(runs) if k != support}
    examples = {}
    for key, points in known.points[support].items():
        examples[key] = read_examples(index, draw_examples(points, support, SHOTS, seed), runs[support])

    def look(threshold: float | None, informed: bool) -> dict[str, Found]:
        found = {}
        for key, value in examples.items():
            others = merge_examples(examples[k] for k in examples if k != key) if informed else None
            found[key] = search(
                index, value, radius_angstrom=known.radii[key], runs=list(truth), threshold=threshold, negatives=others
            )
        return found

    def figures(ranked: dict[str, Found], chosen: dict[str, Found]) -> list[list[float]]:
        rows = []
        for key, radius in known.radii.items():
            reference = {run: points[key] for run, points in truth.items()}
            whole, picked = (score_ranking(reference, found[key].by_run, radius) for found in (ranked, chosen))
            share, recall = picked["precision"], picked["recall"]
            f1 = 2 * share * recall / max(share + recall, 1e-9)
            rows.append([whole["average_precision"], share, recall, f1, chosen[key].cutoff.precision])
        return rows

    rows = {}
    for name, informed in {"alone": False, "negatives": True}.items():
        found = look(LOWEST_SCORE, informed), look(None, informed)
        rows[name] = figures(*found)
        resolved = [resolve_conflicts(index, each, examples, known.radii)[0] for each in found]
        rows[f"{name}, one particle to a place"] = figures(*resolved)
    return rows


def main() -> None:
    """Search, score, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, help="folder of density maps named after their PDB entries")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--development", action="store_true", help="other complexes and tomograms, to develop on")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    lines = [f"| tomograms | search | {' | '.join(FIGURES)} |", "|---" * (len(FIGURES) + 2) + "|"]
    for regime in STANDARD:
        known = make_tomograms(regime, arguments.maps, arguments.development)
        with tempfile.TemporaryDirectory() as folder:
            index = build_index(Path(folder) / "index", ENCODER, known, pick_device(arguments.device))
            draws = [(support, seed) for support in range(len(known.tomograms)) for seed in range(arguments.seeds)]
            trials = [trial(index, known, *draw) for draw in progress(draws, f"search {regime}", "draw")]
        for name in trials[0]:
            means = np.mean([rows[name] for rows in trials], axis=(0, 1))
            lines.append(f"| {regime} | {name} | {' | '.join(f'{value:.3f}' for value in means)} |")
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
