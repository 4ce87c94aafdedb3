"""What the shipped picker finds without any label: twins of six real runs, and tomograms of four kinds.

    python -m benchmarks.picker.zero_labels --data ../shared/data --out zero

``--data`` holds ``maps/`` and ``picks/<run>``. A twin is a simulated tomogram of 184 x 630 x 630 voxels with the
particles of a real run at their real places. *Bright*, *dim*, *crowded* and *processed* are imaged as the tomograms
that the picker has learned from (`benchmarks.picker.train_shipped`), from seeds of their own, with 12 of each complex
in 96 x 256 x 256 voxels. Last the ribosomes of the half yeast lamella (`benchmarks.reality`), where that is there:
share found among the best N, 2N, 4N candidates. What is done is not done again. Prints Markdown.
"""

import argparse
import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.picker.train_shipped import REGIMES, SIZE
from benchmarks.reality.lamella import MULTIPLES, hits, open_lamella
from finetune.picking import detect_config, load_picker
from tomoseek.complexes import CHALLENGE
from tomoseek.demo.plan import bracket
from tomoseek.demo.stages import Ledger, Stage, run_stage

KINDS: Final = ("bright", "dim", "crowded", "processed")
NUM_EACH, COUNTS = 4, 12


def stages(data: Path, out: Path, checkpoint: str, seed: int) -> tuple[list[Stage], list[str]]:
    """List the commands, in order, and the kinds of tomogram that are scored."""
    maps = f"maps_folder={data / 'maps'}"
    twins = sorted(path.name for path in (data / "picks").iterdir() if path.is_dir())
    found: list[Stage] = []

    def add(kind: str, commands: list[tuple[str, ...]], runs: list[str]) -> None:
        project, folder = out / kind / "project", out / kind / "found"
        data_words = (f"data.project={project / 'copick.json'}", f"data.runs={bracket(runs)}")
        found.append(
            Stage(
                name=f"simulate_{kind}", purpose=f"{len(runs)} tomograms", commands=tuple(commands),
                outputs=tuple(project / "simulation" / f"{run}.json" for run in runs),
            )
        )  # fmt: skip
        predict = ("python", "-m", "finetune", "predict", *data_words, f"checkpoint={checkpoint}", f"out_dir={folder}")
        evaluate = (
            "python", "-m", "finetune", "evaluate", *data_words, f"classes={bracket(list(CHALLENGE))}",
            f"candidates={folder}", f"out_dir={folder}", "figures=false",
        )  # fmt: skip
        found.append(
            Stage(
                name=f"predict_{kind}", purpose="search and score", commands=(predict, evaluate),
                outputs=(folder / "evaluation.json",), needs=(f"simulate_{kind}",),
            )
        )  # fmt: skip

    simulate = ("python", "-m", "tomoseek", "simulate", "halves=false", maps)
    for number, kind in enumerate(KINDS):
        words = (f"out_dir={out / kind / 'project'}", f"num_runs={NUM_EACH}", f"size={bracket(list(SIZE))}")
        settings = ("microscope=wide", f"counts={COUNTS}", f"seed={seed + number}", *REGIMES[kind][2])
        add(kind, [(*simulate, *words, *settings)], [f"sim_{index:03d}" for index in range(NUM_EACH)])
    words = tuple((f"prefix={run}_", "num_runs=1", f"twin={data / 'picks' / run}") for run in twins)
    project = f"out_dir={out / 'twins' / 'project'}"
    commands = [(*simulate, project, *each, f"seed={seed + 10 + n}") for n, each in enumerate(words)]
    add("twins", commands, [f"{run}_000" for run in twins])
    return found, [*KINDS, "twins"]


def row(name: str, evaluation: dict[str, Any]) -> str:
    """F4, precision and recall of every class, and the weighted F4."""
    classes = evaluation["classes"]
    cells = [
        f"{classes[key]['f4']:.2f} ({classes[key]['precision']:.2f}, {classes[key]['recall']:.2f})" for key in CHALLENGE
    ]
    return f"| {name} | **{evaluation['weighted_f4']:.3f}** | {' | '.join(cells)} |"


def lamella_row(folder: Path, checkpoint: str) -> str:
    """Share of the lamella's ribosomes among the best candidates of that class."""
    lamella, picker = open_lamella(folder), load_picker(checkpoint)
    tomogram = lamella.tomogram.resampled("auto", picker.voxel_spacing)
    found = picker.candidates(tomogram, detect_config({"min_score": 1e-6}))
    picks = next(each for (_, name), each in found.items() if name == "ribosome")
    points = picks.points_xyz[np.argsort(-picks.scores, kind="stable")]
    shares = [hits(lamella.truth_xyz, points[: k * len(lamella.truth_xyz)]).mean() for k in MULTIPLES]
    told = " / ".join(f"{share:.2f}" for share in shares)
    return f"ribosomes of the lamella among the first N, 2N, 4N of {len(points)} candidates: {told}"


def main() -> None:
    """Run what is not done yet and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with maps/ and picks/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--checkpoint", default="shipped")
    parser.add_argument("--seed", type=int, default=9100)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(arguments.out, {"seed": arguments.seed})
    todo, kinds = stages(arguments.data, arguments.out, arguments.checkpoint, arguments.seed)
    for position, stage in enumerate(todo, start=1):
        run_stage(ledger, stage, f"{position}/{len(todo)}")
    print(f"\n| | weighted F4 | {' | '.join(CHALLENGE)} |\n|{' --- |' * (len(CHALLENGE) + 2)}")
    for kind in kinds:
        print(row(kind, json.loads((arguments.out / kind / "found" / "evaluation.json").read_text())))
    real = arguments.data / "real" / "yeast80S"
    if real.is_dir():
        print(f"\n{lamella_row(real, arguments.checkpoint)}")


if __name__ == "__main__":
    main()
