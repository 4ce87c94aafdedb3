"""Search labelled runs, choose thresholds on them and say how well they do there."""

from dataclasses import dataclass

import torch

from finetune.decoder import Picker
from finetune.detect import DetectConfig, find_particles
from finetune.labels import LabelledRun
from finetune.thresholds import choose_threshold, f4_at
from tomoseek.score import weighted_f4


@dataclass(slots=True)
class Validation:
    """Per class the threshold chosen and the F4 it gives on the same runs."""

    thresholds: dict[str, float]
    f4: dict[str, float]
    weighted_f4: float

    def table(self, title: str) -> str:
        """Return lines to print."""
        lines = [f"{title}: weighted F4 {self.weighted_f4:.3f} (thresholds chosen there: reads a little high)"]
        lines += [f"  {name:<22} threshold {self.thresholds[name]:.3f}   F4 {self.f4[name]:.3f}" for name in self.f4]
        return "\n".join(lines)


def validate(
    picker: Picker,
    runs: list[LabelledRun],
    radii: dict[str, float],
    config: DetectConfig,
    device: torch.device,
) -> Validation:
    """Predict ``runs`` and choose every class's threshold on them."""
    candidates = {run.name: find_particles(run.tomogram, picker, radii, config, device, progress=False) for run in runs}
    thresholds, f4 = {}, {}
    for name, radius in radii.items():
        reference = {run.name: run.points_xyz[name] for run in runs}
        found = {run_name: picks[name] for run_name, picks in candidates.items()}
        thresholds[name] = choose_threshold(reference, found, radius)
        f4[name] = f4_at(reference, found, radius, thresholds[name])
    return Validation(thresholds, f4, weighted_f4({name: {"f4": value} for name, value in f4.items()}))
