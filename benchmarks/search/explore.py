"""What the clusters of `embed explore` hold, where the truth is known, beside an encoder with random weights.

    python -m benchmarks.search.explore --out explore_bench --encoder shipped random-small

Simulates three bright tomograms of six complexes, thirty of each, runs ``embed build`` and ``embed explore`` on them,
and prints for every cluster how many of its places are which complex (within 60 Å) or none.
"""

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from tomoseek.demo.plan import bracket
from tomoseek.picks.copick_picks import read_picks
from tomoseek.picks.tables import read_points_csv
from tomoseek.tomograms.project import open_project

COMPLEXES = ("apo-ferritin", "beta-galactosidase", "ribosome", "thyroglobulin", "virus-like-particle", "proteasome")
NEAR_ANGSTROM = 60.0


def command(*words: str) -> int:
    """Run ``python -m ...`` and return its exit code."""
    print("$ python -m", *words, flush=True)
    return subprocess.run([sys.executable, "-m", *words], check=False).returncode


def contents(project: Path, table: Path, cluster: str) -> Counter[str]:
    """Count what lies at the places of a cluster."""
    root, found = open_project(project), Counter[str]()
    for run, picks in read_points_csv(table, cluster).items():
        truth = [(name, read_picks(root, run, name, "simulator").points_xyz) for name in COMPLEXES]
        names = np.repeat([name for name, _ in truth], [len(points) for _, points in truth])
        distance, nearest = cKDTree(np.concatenate([points for _, points in truth])).query(picks.points_xyz)
        found.update(np.where(distance <= NEAR_ANGSTROM, names[nearest], "nothing").tolist())
    return found


def main() -> None:
    """Simulate, explore with every encoder, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("explore_bench"))
    parser.add_argument("--encoder", nargs="+", default=["shipped", "random-small"])
    parser.add_argument("--min-members", type=int, default=8)
    parser.add_argument("--seed", type=int, default=21)
    arguments = parser.parse_args()
    project = arguments.out / "project"
    command(
        "tomoseek", "simulate", f"out_dir={project}", "num_runs=3", f"seed={arguments.seed}", "counts=10",
        "size=[96,256,256]", f"complexes={bracket(list(COMPLEXES))}",
    )  # fmt: skip
    for encoder in arguments.encoder:
        folder = arguments.out / encoder.replace("/", "_")
        common = (f"data.project={project}", f"index={folder / 'index'}")
        command("embed", "build", *common, f"encoder={encoder}")
        words = (f"out_dir={folder}", "separation=100", f"min_members={arguments.min_members}")
        if command("embed", "explore", *common, *words) != 0:
            print(f"\n{encoder}: no cluster")
            continue
        print(f"\n| {encoder} | places | of them |\n|---|---|---|")
        for path in sorted(folder.glob("cluster-*.csv")):
            found = contents(project, folder / "clusters.csv", path.stem)
            shown = ", ".join(f"{count} {name}" for name, count in found.most_common())
            print(f"| {path.stem} | {found.total()} | {shown} |")


if __name__ == "__main__":
    main()
