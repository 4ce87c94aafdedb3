"""Are wrong clicks noticed, and right ones left in peace, in real cytoplasm? Half of a yeast lamella.

    python -m benchmarks.search.clicks --data ../shared/data/real/yeast80S

Draws a few of the listed ribosomes again and again, gives them as they are, in voxels, as z y x, and at random places
instead, and counts how often the search finds nothing particle-like there, and how often it names the right reading.
Prints Markdown.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.reality.lamella import RUN
from embed import Index
from embed.doubts import particle_score
from tomoseek import open_tomogram
from tomoseek.geometry import indices_to_points, points_to_indices
from tomoseek.picks.readings import judge_points
from tomoseek.picks.tables import read_points_csv

Points = NDArray[np.float64]
NUM_DRAWS = 30
RESAMPLE = 15.68  # Å per voxel


def main() -> None:
    """Embed, draw, judge, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the lamella and its ribosomes")
    chosen = parser.parse_args()
    lamella = open_tomogram(chosen.data / f"{RUN}.mrc")
    truth = read_points_csv(chosen.data / "ribosomes.csv")[RUN].points_xyz
    spacing, random = lamella.voxel_spacing, np.random.default_rng(0)
    last = np.array(lamella.shape) - 1

    def anywhere(points: Points) -> Points:
        return indices_to_points(random.uniform(0, last, points.shape), spacing)

    given: dict[str, tuple[str | None, Callable[[Points], Points]]] = {
        "right": (None, lambda points: points),
        "voxels": ("voxels x y z", lambda points: points / spacing),
        "z y x": ("z y x in Å", lambda points: points_to_indices(points, 1.0)),
        "random places": (None, anywhere),
    }
    print("| clicks | given | doubted | right reading named | wrong reading named |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        index = Index.create(Path(folder) / "index", resample=RESAMPLE)
        index.add(lamella)
        score = particle_score(index, RUN)
        for number in (1, 3, 5, 10):
            for name, (reading, change) in given.items():
                counts: Counter[str] = Counter()
                for _ in range(NUM_DRAWS):
                    points = truth[random.choice(len(truth), number, replace=False)]
                    verdict = judge_points(change(points), score, lamella.shape, spacing)
                    counts["doubted"] += not verdict.is_like
                    if verdict.better is not None:
                        counts["right" if verdict.better.name == reading else "wrong"] += 1
                shares = [f"{counts[kind] / NUM_DRAWS:.2f}" for kind in ("doubted", "right", "wrong")]
                print(f"| {number} | {name} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
