"""Seconds and peak memory of searching one tomogram of the challenge's size; one method to a process.

OMP_NUM_THREADS=2 python -m benchmarks.picker.peers.predict_cost ours
"""

import json
import os
import subprocess
import sys

import numpy as np
import torch

from benchmarks.picker.peers.methods import OURS, parse_method
from benchmarks.picker.peers.networks import build
from benchmarks.picker.peers.projects import CLASSES
from finetune.detect import find_particles
from finetune.settings import TrainConfig
from finetune.start import fresh_picker
from tomoseek.command_line import compose_settings
from tomoseek.complexes import COMPLEXES
from tomoseek.config import Polarity
from tomoseek.running import Stopwatch
from tomoseek.tomograms.tomogram import Tomogram

TOMOGRAM, VOXEL_SPACING = (184, 630, 630), 10.0
NUM_THREADS = 2


def measure(name: str) -> dict[str, float]:
    """Search noise with an untrained network; only peaks above a half count, of which noise has few."""
    method = parse_method(name)
    config = compose_settings("finetune_train", TrainConfig, [*method.words, "detect.min_score=0.5"])
    picker = (
        fresh_picker(config.encoder, config.unfreeze, len(CLASSES), config.decoder_channels, config.seed)
        if method.network == OURS
        else build(method.network, len(CLASSES), 0)
    )
    noise = np.random.default_rng(0).standard_normal(TOMOGRAM, np.float32)
    tomogram = Tomogram(
        run="noise", tomogram_type="wbp", voxel_spacing=VOXEL_SPACING, array=noise, polarity=Polarity.dark,
        source="memory",
    )  # fmt: skip
    radii = {key: COMPLEXES[key].radius_angstrom for key in CLASSES}
    with Stopwatch() as watch:
        find_particles(tomogram, picker.eval(), radii, config.detect, torch.device("cpu"))
    parameters = sum(parameter.numel() for parameter in picker.parameters())
    return {"parameters": parameters, "seconds": watch.seconds, "peak_memory_gb": watch.peak_memory_gb}


def table(names: list[str]) -> str:
    """Measure each method in its own process, one after the other."""
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) < NUM_THREADS:
        raise SystemExit(f"--predict-cost: expected {NUM_THREADS} cores, found this process pinned to fewer")
    rows = [["method", "M parameters", "s", "peak GB"], ["---"] * 4]
    for name in names:
        words = [sys.executable, "-m", "benchmarks.picker.peers.predict_cost", name]
        environment = {**os.environ, "OMP_NUM_THREADS": f"{NUM_THREADS}"}
        done = subprocess.run(words, check=True, env=environment, stdout=subprocess.PIPE, text=True)
        cost = json.loads(done.stdout.splitlines()[-1])
        row = [name, f"{cost['parameters'] / 1e6:.1f}", f"{cost['seconds']:.0f}", f"{cost['peak_memory_gb']:.2f}"]
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
