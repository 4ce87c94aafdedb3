"""Search labelled runs, calibrate scores and choose thresholds on them, and say how well they do there."""

from dataclasses import dataclass

import torch
from torch import nn

from finetune.calibration import Calibration, fit_calibration
from finetune.detect import DetectConfig, find_particles
from finetune.labels import LabelledRun
from finetune.thresholds import Points, choose_threshold, f_at
from tomoseek.evaluation.ranking import rank
from tomoseek.evaluation.score import weighted_f4
from tomoseek.picks.points import Picks


@dataclass(slots=True)
class Validation:
    """Per class the calibration fitted, thresholds, probabilities, of the best F4 and of the best F1, and that F4."""

    calibration: dict[str, Calibration]
    thresholds: dict[str, float]
    balanced: dict[str, float]
    f4: dict[str, float]
    weighted_f4: float

    def table(self, title: str) -> str:
        """Return lines to print."""
        lines = [f"{title}: weighted F4 {self.weighted_f4:.3f} (thresholds chosen there: reads a little high)"]
        lines += [f"  {name:<22} threshold {self.thresholds[name]:.3f}   F4 {self.f4[name]:.3f}" for name in self.f4]
        return "\n".join(lines)


def validate(
    picker: nn.Module,
    runs: list[LabelledRun],
    radii: dict[str, float],
    config: DetectConfig,
    device: torch.device,
) -> Validation:
    """Predict ``runs``; fit every class's calibration and choose its threshold on them."""
    candidates = {run.name: find_particles(run.tomogram, picker, radii, config, device, progress=False) for run in runs}
    reference = {name: {run.name: run.points_xyz[name] for run in runs} for name in radii}
    return choose(reference, candidates, radii)


def choose(
    reference: dict[str, dict[str, Points]], candidates: dict[str, dict[str, Picks]], radii: dict[str, float]
) -> Validation:
    """Fit every class's calibration and choose its threshold.

    The threshold is chosen among heatmap values and then told as a probability. That loses nothing, as their order
    is the same; and heatmap values are the unit in which scores wobble alike in every class.

    Parameters
    ----------
    reference
        Class to run to ``(n, 3)`` points, Å.
    candidates
        Run to class to candidates, scored by the heatmap.
    radii
        Class to radius, Å.
    """
    found = {name: {run: by_class[name] for run, by_class in candidates.items()} for name in radii}
    rankings = {name: rank(reference[name], found[name], radius) for name, radius in radii.items()}
    calibration = fit_calibration({name: (ranking.scores, ranking.right) for name, ranking in rankings.items()})
    thresholds, balanced, f4 = {}, {}, {}
    for name, radius in radii.items():
        value = choose_threshold(reference[name], found[name], radius)
        f4[name] = f_at(reference[name], found[name], radius, value)
        thresholds[name] = round(float(calibration[name](value)), 6)
        balance = choose_threshold(reference[name], found[name], radius, beta=1.0)
        balanced[name] = round(float(calibration[name](balance)), 6)
    return Validation(
        calibration, thresholds, balanced, f4, weighted_f4({name: {"f4": value} for name, value in f4.items()})
    )
