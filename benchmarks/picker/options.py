"""What the choices of `finetune predict` are worth: one class per site, flipped views, an ensemble; and calibration.

    python -m benchmarks.picker.options --peers peers --labels 1

Searches the test runs of `benchmarks.picker.peers` with the pickers that it trained there, one for each seed, through
the commands themselves. Prints a table of the choices, mean over seeds, and how far scores can be read as
probabilities.
"""

import argparse
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.picker.peers.projects import PROJECTS
from finetune.candidates import load_candidates
from finetune.labels import read_labels
from tomoseek.config import PicksConfig
from tomoseek.demo.plan import bracket
from tomoseek.evaluation.ranking import rank
from tomoseek.tomograms.project import object_radii, open_project

KEYS = ("precision", "recall", "f1", "average_precision", "median_localisation_error_angstrom")
BINS = np.array([0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])


def evaluate(folder: Path, project: Path, runs: list[str], checkpoint: Path, words: list[str]) -> dict[str, Any]:
    """Predict and evaluate unless it is done; return evaluation.json."""
    path = folder / "evaluation.json"
    if not path.exists():
        common = [
            f"data.project={project}",
            f"data.runs={bracket(runs)}",
            f"checkpoint={checkpoint}",
            f"out_dir={folder}",
        ]
        for name, more in (
            ("predict", ["device=cpu", *words]),
            ("evaluate", [f"candidates={folder}", "figures=false"]),
        ):
            subprocess.run([sys.executable, "-m", "finetune", name, *common, *more], check=True)
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def row(name: str, records: list[dict[str, Any]]) -> str:
    """Return a line of the table: means over seeds, of the classes' plain means."""
    cells = [f"{np.mean([record['weighted_f4'] for record in records]):.3f}"]
    for key in KEYS:
        values = [each[key] for record in records for each in record["classes"].values() if each[key] is not None]
        cells.append(f"{np.mean(values):.1f}" if key.endswith("angstrom") else f"{np.mean(values):.3f}")
    return f"| {name} | {' | '.join(cells)} |"


def reliability(folders: list[Path], classes: list[str], project: Path, runs: list[str]) -> str:
    """Return the table of scores and of the share of them that is right, over all classes and seeds."""
    root = open_project(project)
    radii = object_radii(root, classes)
    truth = {
        run: read_labels(root, run, list(radii), PicksConfig(user_id=None, session_id=None), radii) for run in runs
    }
    scores, right = [], []
    for folder in folders:
        found = load_candidates(folder, str(project), "tomoseek", "finetune")
        assert found is not None
        for name, radius in radii.items():
            candidates = {run: found.by_run[run][name] for run in runs}
            ranking = rank({run: truth[run][name] for run in runs}, candidates, radius)
            scores.append(ranking.scores)
            right.append(ranking.right)
    score, hit = np.concatenate(scores), np.concatenate(right)
    lines = ["| score | candidates | mean score | share that is right |", "|---|---|---|---|"]
    for low, high in pairwise(BINS):
        inside = (score >= low) & ((score < high) | (high == 1))
        if inside.any():
            share = f"{score[inside].mean():.3f} | {hit[inside].mean():.3f}"
            lines.append(f"| {low:g} to {high:g} | {inside.sum():,} | {share} |")
    return "\n".join(lines)


def main() -> None:
    """Search what is not searched yet and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=Path("peers"), help="folder that benchmarks.picker.peers wrote")
    parser.add_argument("--labels", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--method", default="ours")
    arguments = parser.parse_args()
    project, runs = PROJECTS["main"].config(arguments.peers), PROJECTS["main"].runs("test")
    trained = [
        arguments.peers / "trained" / "main" / f"{arguments.method}-{arguments.labels}-{k}" for k in arguments.seeds
    ]
    folders = {
        name: [arguments.peers / "options" / f"{checkpoint.name}-{name.replace(' ', '_')}" for checkpoint in trained]
        for name in ("as it is", "one per site", "flips", "ensemble")
    }
    rest = [bracket([str(other) for other in trained if other != checkpoint]) for checkpoint in trained]
    words = {
        "as it is": [[]] * len(trained),
        "one per site": [["one_per_site=true"]] * len(trained),
        "flips": [["detect.flips=true"]] * len(trained),
        "ensemble": [[f"ensemble={others}"] for others in rest[:1]],
    }
    lines = [
        "| predict | weighted F4 | precision | recall | F1 | average precision | hits off by, Å |",
        "|---" * 7 + "|",
    ]
    for name, each in words.items():
        records = [
            evaluate(folder, project, runs, checkpoint, more)
            for folder, checkpoint, more in zip(folders[name], trained, each, strict=False)
        ]
        lines.append(row(name, records))
        if name == "as it is":
            table = reliability(folders[name], list(records[0]["classes"]), project, runs)
    print("\n".join(lines), "\n", table, sep="\n")


if __name__ == "__main__":
    main()
