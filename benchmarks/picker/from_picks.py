"""From a few picks of each of several new classes: train a decoder on them, or search with them?

    python -m benchmarks.picker.from_picks --maps ../shared/data/maps --out decoder_from_picks

The tomograms of `benchmarks.pretraining.probe`, and the draws of `benchmarks.search.examples`. A lab has picked
``--shots`` particles of each of six classes in the first tomogram; whatever else is there counts as background, the
unpicked particles too. ``finetune train`` learns from these picks, all classes at once, from the shipped encoder; its
settings are the defaults but for the number of steps. ``finetune predict`` ranks the places of the other two
tomograms. Beside it stands the default search of ``embed query`` with the very same picks, one class at a time.
Average precision. A tomogram holds twenty of each class, so 20 picks are all there are. Leaves one folder per row in
``--out`` and goes on from there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.known_tomograms import PER_CLASS, STANDARD, KnownTomograms, build_index, draw_examples, make_tomograms
from embed.examples import read_examples
from embed.promise import LOWEST_SCORE
from embed.search import search as search_index
from finetune.candidates import load_candidates
from tomoseek.complexes import Complex
from tomoseek.demo.plan import bracket
from tomoseek.evaluation.ranking import score_ranking
from tomoseek.files import atomic_write_json
from tomoseek.picks.copick_picks import write_picks
from tomoseek.picks.points import Picks
from tomoseek.running import pick_device
from tomoseek.simulate.command import write_volumes
from tomoseek.tomograms.project import create_project

ENCODER = "shipped"
SUPPORT = 0
LAB = "lab"
LOWEST_CANDIDATE = 0.001

Points = dict[str, NDArray[np.float64]]


def draw(known: KnownTomograms, shots: int, seed: int) -> Points:
    """Draw the picks of each class as `benchmarks.search.examples` draws its examples."""
    chosen = {}
    for key, points in known.points[SUPPORT].items():
        if len(points) < shots:
            raise ValueError(f"--shots: expected at most {len(points)}, all {key} of a tomogram, found {shots}")
        chosen[key] = draw_examples(points, SUPPORT, shots, seed)
    return chosen


def scores(known: KnownTomograms, found: dict[str, dict[str, Picks]]) -> dict[str, float]:
    """Average precision of each class (class to run to picks) over the tomograms without a pick."""
    others = [k for k in range(len(known.tomograms)) if k != SUPPORT]
    truth = {key: {known.tomograms[k].run: known.points[k][key] for k in others} for key in known.radii}
    return {key: score_ranking(truth[key], found[key], known.radii[key])["average_precision"] for key in known.radii}


def command(*words: str) -> float:
    """Run ``python -m ...``, stop if it fails, and return the seconds of processor time it took."""
    print("$ python -m", *words, flush=True)
    before = os.times()
    subprocess.run([sys.executable, "-m", *words], check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def decode(
    folder: Path, known: KnownTomograms, picks: Points, num_steps: int, seed: int, device: str
) -> dict[str, Any]:
    """Train on the picks by command, search the other tomograms by command, score all candidates."""
    root = create_project(folder / "project", [Complex(name=k, radius_angstrom=r) for k, r in known.radii.items()])
    for tomogram, simulated in zip(known.tomograms, known.simulated, strict=True):
        write_volumes(root, tomogram.run, simulated, known.regime.voxel_spacing, halves=False)
    runs = [tomogram.run for tomogram in known.tomograms]
    for key, points in picks.items():
        write_picks(root, runs[SUPPORT], key, Picks(points), LAB, "0")
    config, others = folder / "project" / "copick.json", [run for k, run in enumerate(runs) if k != SUPPORT]
    shared = (f"data.project={config}", f"device={device}")
    train_seconds = command(
        "finetune", "train", *shared, f"data.runs=[{runs[SUPPORT]}]", f"encoder={ENCODER}", f"num_steps={num_steps}",
        f"seed={seed}", f"out_dir={folder / 'picker'}",
    )  # fmt: skip
    predict_seconds = command(
        "finetune", "predict", *shared, f"data.runs={bracket(others)}", f"checkpoint={folder / 'picker'}",
        f"detect.min_score={LOWEST_CANDIDATE}", f"out_dir={folder / 'predict'}",
    )  # fmt: skip
    candidates = load_candidates(folder / "predict", str(config), "tomoseek", "finetune")
    assert candidates is not None
    precision = scores(known, {key: {run: candidates.by_run[run][key] for run in others} for key in known.radii})
    return {"average_precision": precision, "train_seconds": train_seconds, "predict_seconds": predict_seconds}


def search(known: KnownTomograms, picks: Points, device: torch.device) -> dict[str, Any]:
    """Embed all tomograms, search the others for each class by its picks, score the ranking."""
    runs = [tomogram.run for tomogram in known.tomograms]
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        index = build_index(Path(folder) / "index", ENCODER, known, device)
        built = time.process_time()
        found = {
            key: search_index(index, read_examples(index, points, runs[SUPPORT]), radius_angstrom=known.radii[key],
                runs=[run for k, run in enumerate(runs) if k != SUPPORT], threshold=LOWEST_SCORE,
            ).by_run
            for key, points in picks.items()
        }  # fmt: skip
    seconds = {"build_seconds": built - start, "search_seconds": time.process_time() - built}
    return {"average_precision": scores(known, found), **seconds}


def main() -> None:
    """Run what is not done yet and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, help="folder of density maps named after their PDB entries")
    parser.add_argument("--out", type=Path, default=Path("decoder_from_picks"))
    parser.add_argument("--shots", type=int, nargs="+", default=[5, PER_CLASS], help="picks of each class")
    parser.add_argument("--num-steps", type=int, default=200, help="of finetune train")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of picks and of the training")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    lines: list[str] = []
    for regime in STANDARD:
        known = make_tomograms(regime, arguments.maps)
        lines = lines or [f"| tomograms, picks per class | by | {' | '.join(known.radii)} | mean |"]
        lines += ["|---" * (len(known.radii) + 3) + "|"] * (len(lines) == 1)
        for shots in arguments.shots:
            picks = draw(known, shots, arguments.seed)
            folder = arguments.out / f"{regime}-{shots}-seed{arguments.seed}-steps{arguments.num_steps}"
            if not (folder / "row.json").exists():
                row = {"search": search(known, picks, pick_device(arguments.device))}
                row |= {"decoder": decode(folder, known, picks, arguments.num_steps, arguments.seed, arguments.device)}
                atomic_write_json(folder / "row.json", row)
            row = json.loads((folder / "row.json").read_text())
            for method in ("decoder", "search"):
                values = list(row[method]["average_precision"].values())
                cells = [f"{value:.2f}" for value in (*values, np.mean(values))]
                lines.append(f"| {regime}, {shots} | {method} | {' | '.join(cells)} |")
            print(*lines[-2:], sep="\n", flush=True)
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
