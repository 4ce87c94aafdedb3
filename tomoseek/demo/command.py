"""``python -m tomoseek demo``: every stage on simulated tomograms, from making them to a report.

The stages are the documented commands, run one after the other; each is printed before it runs. The demo
itself only chooses their settings (``configs/demo.yaml``), draws the example picks and gathers the figures.
"""

import importlib.metadata
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from tomoseek.demo.plan import SEARCHES, DemoConfig, plan
from tomoseek.demo.report import write_report
from tomoseek.demo.stages import Ledger, StageFailed, run_stage, spoken_time
from tomoseek.errors import InputError
from tomoseek.picks.copick_picks import read_picks
from tomoseek.picks.points import Picks
from tomoseek.picks.tables import write_csv
from tomoseek.provenance import code_version, processor_name
from tomoseek.running import Stopwatch
from tomoseek.tomograms.project import open_project

TRUTH_USER = "simulator"
SCORES = {"F4": "f4", "precision": "precision", "recall": "recall"}
PACKAGES = ("tomoseek", "torch", "timm", "copick", "zarr", "numpy", "faiss-gpu", "faiss-cpu")


def run(config: DemoConfig) -> None:
    """Run every stage that is not done yet; write ``results.json`` and ``report.html``."""
    config.folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(config.folder, describe(config))
    stages = plan(config)
    print(f"tomoseek demo: {len(stages)} stages and a report, in {config.folder}/", flush=True)
    try:
        with Stopwatch() as clock:
            for position, stage in enumerate(stages, start=1):
                run_stage(ledger, stage, f"{position}/{len(stages)}")
                if stage.name == "simulate":
                    draw_examples(config)
            ledger.results |= gather(config)
            ledger.save()
            with Stopwatch() as watch:
                report = write_report(config.folder, config.montage)
    except StageFailed as failure:
        print(
            f"\nerror: {failure}; what came before is kept: mend it and run the same command again",
            file=sys.stderr,
        )
        sys.exit(1)
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to go on from here", file=sys.stderr)
        sys.exit(130)
    ledger.results["stages"]["report"] = {
        "seconds": round(watch.seconds, 2),
        "peak_memory_gb": round(psutil.Process().memory_info().rss / 1e9, 3),
        "purpose": "figures and tables in one page",
        "commands": [],
    }
    ledger.save()
    print_summary(ledger.results, config.folder, report, clock.seconds)


def draw_examples(config: DemoConfig) -> Path:
    """Write the example picks: some of the true ones of the first test run, drawn by the seed.

    Raises
    ------
    InputError
        If the run holds too few.
    """
    run_name, name = config.test_runs[0], config.new_class
    truth = read_picks(open_project(config.project), run_name, name, TRUTH_USER).points_xyz
    if len(truth) < config.shots:
        raise InputError(
            f"shots: expected at most the {len(truth)} particles of {name} that fit into {run_name}, found "
            f"{config.shots}; lower shots, or raise simulate.size or simulate.counts"
        )
    chosen = np.random.default_rng(config.seed).choice(len(truth), config.shots, replace=False)
    path = config.folder / "examples.csv"
    write_csv(path, [(run_name, name, Picks(truth[np.sort(chosen)]))])
    return path


def gather(config: DemoConfig) -> dict[str, Any]:
    """Collect the figures that the commands wrote, under the names of ``results.json``."""
    evaluation = json.loads((config.folder / "predict" / "evaluation.json").read_text())
    search, structure, control = (
        json.loads((config.folder / folder / "evaluation.json").read_text())
        for folder in ("search", "search_structure", "search_random")
    )
    found, rendered, by_chance = (each["classes"][config.new_class] for each in (search, structure, control))
    classes = {name: {key: scores[key] for key in SCORES.values()} for name, scores in evaluation["classes"].items()}
    return {
        "finetune": {"weighted_f4": evaluation["weighted_f4"], "classes": classes},
        "search": {
            "class": config.new_class,
            "shots": config.shots,
            "average_precision": found["average_precision"],
            "structure_average_precision": rendered["average_precision"],
            "random_init_average_precision": by_chance["average_precision"],
            "runs": search["runs"],
            "num_references": found["tp"] + found["fn"],
        },
    }


def describe(config: DemoConfig) -> dict[str, Any]:
    """Describe machine, versions, settings and where things lie, for ``results.json``."""
    return {
        "machine": {
            "system": platform.platform(),
            "processor": processor_name(),
            "cpu_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        },
        "versions": {"python": platform.python_version(), **package_versions()},
        "git_commit": code_version()["git_commit"],
        "seed": config.seed,
        "settings": asdict(config),
        "layout": {
            "project": "project/copick.json",
            "test_runs": config.test_runs,
            "examples_run": config.test_runs[0],
            "truth_user": TRUTH_USER,
            "search_sessions": SEARCHES,
            "logs": {
                "pretraining: masked": "pretrain_masked/log.jsonl",
                "pretraining: metric": "pretrain_metric/log.jsonl",
                "picking": "finetune/train_log.jsonl",
            },
        },
    }


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide the numbers."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def print_summary(results: dict[str, Any], folder: Path, report: Path, seconds: float) -> None:
    """Print the figures a newcomer looks for, and where the rest is."""
    search, picking = results["search"], results["finetune"]
    print(f"\nknown complexes, weighted F4 on {len(results['layout']['test_runs'])} unseen tomograms:", end=" ")
    print(f"{picking['weighted_f4']:.3f}")
    for name, scores in picking["classes"].items():
        numbers = "  ".join(f"{label} {scores[key]:.3f}" for label, key in SCORES.items())
        print(f"   {name:<22} {numbers}")
    print(
        f"a new complex ({search['class']}) from {search['shots']} examples: average precision "
        f"{search['average_precision']:.3f}; from its structure alone {search['structure_average_precision']:.3f}; "
        f"with a random encoder {search['random_init_average_precision']:.3f}"
    )
    print(f"\n{report}   open this in a browser")
    print(f"{folder / 'results.json'}   every figure\n{folder / 'project'}   copick project with picks")
    print(f"done in {spoken_time(seconds)}")
