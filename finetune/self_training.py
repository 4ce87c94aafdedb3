"""A picker's own finds in unlabelled tomograms become labels for the rest of its training.

References
----------
Xie et al., Self-training with noisy student, 2020; here within one training, the moving average being the teacher.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from finetune.calibration import Calibration, calibrate
from finetune.crops import Batch, CropSampler
from finetune.decoder import Picker
from finetune.detect import DetectConfig, find_particles
from finetune.labels import LabelledRun
from tomoseek.config import DataConfig
from tomoseek.errors import InputError
from tomoseek.tomograms.copick_tomograms import find_tomograms
from tomoseek.tomograms.tomogram import Tomogram


@dataclass(kw_only=True, slots=True)
class SelfTrainingConfig:
    """Which unlabelled runs to learn from, from when on, and which finds in them to believe."""

    runs: list[str] | None
    starts_at: float
    accept: float
    reject: float

    def __post_init__(self) -> None:
        if not 0 < self.starts_at < 1:
            raise InputError(f"self_training.starts_at: expected a part between 0 and 1, found {self.starts_at}")
        if not 0 < self.reject <= self.accept <= 1:
            raise InputError(
                f"self_training: expected 0 < reject <= accept <= 1, found reject={self.reject}, accept={self.accept}"
            )


def find_unlabelled(data: DataConfig, wanted: list[str] | None, labelled: list[LabelledRun]) -> list[Tomogram]:
    """Open the runs to learn from without labels.

    Raises
    ------
    InputError
        If one of them is a labelled run of this training, or unknown.
    """
    if wanted is None:
        return []
    both = [run.name for run in labelled if run.name in wanted]
    if both:
        raise InputError(
            f"self_training.runs: expected runs beside the labelled ones, found {', '.join(both)}; "
            "name them here or in data.runs, not in both"
        )
    return find_tomograms(replace(data, runs=wanted))


def label_with_own_finds(
    picker: Picker, tomograms: list[Tomogram], radii: dict[str, float], calibration: dict[str, Calibration],
    config: SelfTrainingConfig, detect: DetectConfig, device: torch.device,
) -> list[LabelledRun]:  # fmt: skip
    """Search tomograms; what is right with a probability of ``accept`` is a particle, with less than ``reject`` none.

    Parameters
    ----------
    picker
        Teacher, on ``device``, in eval mode.
    tomograms
        Runs whose labels, if there are any, are not looked at.
    radii
        Class name to radius in Å, in the order of the network's heatmaps.
    calibration
        What turns the teacher's heatmap values into probabilities.
    config
        What to believe.
    detect
        How whole tomograms are searched.
    device
        Where the network runs.

    Returns
    -------
    Runs in which finds between the two are ``unsure_xyz``.
    """
    runs = []
    for tomogram in tomograms:
        found = calibrate(find_particles(tomogram, picker, radii, detect, device, progress=False), calibration)
        sure = {name: picks.points_xyz[picks.scores >= config.accept] for name, picks in found.items()}
        unsure = {
            name: picks.points_xyz[(picks.scores < config.accept) & (picks.scores >= config.reject)]
            for name, picks in found.items()
        }
        runs.append(LabelledRun(tomogram, sure, unsure))
    return runs


def join(first: CropSampler, second: CropSampler, first_step: int) -> Iterator[Batch]:
    """Yield batches made of one of each sampler, from ``first_step`` on."""
    for one, other in zip(first.batches(first_step), second.batches(first_step), strict=True):
        yield Batch(
            torch.cat([one.volume, other.volume]),
            torch.cat([one.target, other.target]),
            torch.cat([one.known, other.known]),
        )


def to_plain(runs: list[LabelledRun]) -> list[dict[str, Any]]:
    """Return what JSON can hold of runs whose labels are in no project."""
    return [
        {
            "run": run.name,
            "points_xyz": {name: points.tolist() for name, points in run.points_xyz.items()},
            "unsure_xyz": {name: points.tolist() for name, points in run.unsure_xyz.items()},
        }
        for run in runs
    ]


def from_plain(plain: list[dict[str, Any]], tomograms: list[Tomogram]) -> list[LabelledRun]:
    """Undo `to_plain`."""
    by_name = {tomogram.run: tomogram for tomogram in tomograms}
    return [
        LabelledRun(
            by_name[entry["run"]],
            *(
                {name: np.reshape(rows, (-1, 3)) for name, rows in entry[key].items()}
                for key in ("points_xyz", "unsure_xyz")
            ),
        )
        for entry in plain
    ]
