"""How much hangs on the one example? Every thyroglobulin of some tomograms is the only example once.

    python -m benchmarks.search.single_examples --maps ../shared/data/maps --encoder shipped

Five tomograms hold 25 thyroglobulins each among five other complexes. Each of the 125 in turn is the one example, and
the other tomograms are searched: mean, spread and worst tenth of the average precision. Prints Markdown.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.known_tomograms import HOLLOW, PURIFIED, REGIMES, STANDARD, UNSEEN, simulate_regime
from embed import Index
from embed.examples import read_examples
from embed.promise import LOWEST_SCORE
from embed.search import MOST_CANDIDATES, search
from tomoseek import Tomogram
from tomoseek.evaluation.ranking import score_ranking
from tomoseek.running import progress
from tomoseek.simulate import load_density

SPACING = 10.0
NUM_TOMOGRAMS, PER_TOMOGRAM, OTHERS = 5, 25, 15
FIRST_SEED = 9_700
NAME = "7n4y"


def main() -> None:
    """Simulate, search from each, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, required=True, help="folder of density maps named after their PDB entries")
    parser.add_argument("--encoder", nargs="*", default=["shipped"])
    parser.add_argument("--regimes", nargs="*", default=list(PURIFIED), choices=STANDARD)
    arguments = parser.parse_args()
    densities = {
        name: load_density(arguments.maps / f"{name}.mrc", SPACING, hollow_radius=HOLLOW.get(name, 0.0))
        for name in UNSEEN
    }
    counts = {**dict.fromkeys(densities, OTHERS), NAME: PER_TOMOGRAM}
    print("| | examples | mean | spread | worst tenth |", "|---|---|---|---|---|", sep="\n")
    for regime in arguments.regimes:
        simulated = simulate_regime(REGIMES[regime], densities, counts, range(FIRST_SEED, FIRST_SEED + NUM_TOMOGRAMS))
        runs = {f"{regime}_{k}": each for k, each in enumerate(simulated)}
        points = {run: each.points[NAME] for run, each in runs.items()}
        for encoder in arguments.encoder:
            with tempfile.TemporaryDirectory() as folder:
                index = Index.create(Path(folder) / "index", encoder)
                for run, each in runs.items():
                    index.add(Tomogram.from_array(each.full.numpy(), SPACING, run=run))
                scores = [
                    precision(index, points, run, k)
                    for run, k in progress(
                        [(run, k) for run in runs for k in range(len(points[run]))], "search from one", "search"
                    )
                ]
            worst = np.sort(scores)[: max(1, len(scores) // 10)].mean()
            cells = f"{len(scores)} | {np.mean(scores):.2f} | {np.std(scores):.2f} | {worst:.2f}"
            print(f"| {encoder}, {regime} | {cells} |", flush=True)


def precision(index: Index, points: dict[str, np.ndarray], run: str, number: int) -> float:
    """Average precision of a search in the other tomograms from one particle."""
    truth = {other: each for other, each in points.items() if other != run}
    found = search(
        index, read_examples(index, points[run][number : number + 1], run), radius_angstrom=UNSEEN[NAME],
        runs=list(truth), threshold=LOWEST_SCORE, max_picks=MOST_CANDIDATES,
    )  # fmt: skip
    return float(score_ranking(truth, found.by_run, UNSEEN[NAME])["average_precision"])


if __name__ == "__main__":
    main()
