"""Search runs with a trained picker, ours or a peer's, and score what is found."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from benchmarks.picker.peers import peer
from benchmarks.picker.peers.projects import CLASSES
from finetune.calibration import Calibration, calibrate
from finetune.checkpoint import load_checkpoint
from finetune.detect import DetectConfig, find_particles, keep_above
from finetune.labels import find_labelled_runs
from finetune.settings import TrainConfig
from tomoseek.command_line import compose_settings
from tomoseek.demo.plan import bracket
from tomoseek.evaluation.ranking import rank
from tomoseek.evaluation.score import class_scores, weighted_f4

CPU = torch.device("cpu")


class Trained(NamedTuple):
    """A trained picker: the network, and by class its radius in Å, its threshold and its calibration."""

    network: nn.Module
    radii: dict[str, float]
    thresholds: dict[str, float]
    calibration: dict[str, Calibration]


def load(folder: Path) -> Trained:
    """Read a trained picker."""
    if (folder / peer.DESCRIPTION).exists():
        network, description = peer.load(folder)
        calibration = {name: Calibration(**values) for name, values in description["calibration"].items()}
        return Trained(network, description["radii"], description["thresholds"], calibration)
    picker, ours = load_checkpoint(folder, CPU)
    return Trained(picker, ours.radii, ours.thresholds, ours.calibration)


def score(folder: Path, config: Path, runs: list[str], words: tuple[str, ...]) -> dict[str, Any]:
    """Score a trained picker on ``runs`` of the copick project ``config``; ``words`` are those it was trained with."""
    network, radii, thresholds, calibration = load(folder)
    data = [f"data.project={config}", f"data.runs={bracket(runs)}", f"classes={bracket(list(CLASSES))}"]
    settings = compose_settings("finetune_train", TrainConfig, [*words, *data])
    detect: DetectConfig = settings.detect
    labelled, _ = find_labelled_runs(settings.data, settings.classes, settings.picks)
    candidates = {
        run.name: calibrate(find_particles(run.tomogram, network, radii, detect, CPU, progress=False), calibration)
        for run in labelled
    }
    reference = {run.name: run.points_xyz for run in labelled}
    kept = {name: keep_above(found, thresholds) for name, found in candidates.items()}
    points = {run: {name: found[name].points_xyz for name in CLASSES} for run, found in kept.items()}
    scores = class_scores(reference, points, {name: radii[name] for name in CLASSES})
    for name in CLASSES:
        radius = radii[name]
        truth = {run: points_xyz[name] for run, points_xyz in reference.items()}
        ranked = {run: found[name] for run, found in candidates.items()}
        scores[name]["average_precision"] = rank(truth, ranked, radius).average_precision()
    return {"weighted_f4": weighted_f4(scores), "classes": scores}
