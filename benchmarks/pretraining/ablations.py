"""What each ingredient of pretraining is worth: the recipe with one thing changed, all at equal processor time.

    python -m benchmarks.pretraining.ablations --maps ../shared/data/maps --out ablations
    python -m benchmarks.pretraining.ablations --model small --start shipped --minutes 60 --out arms \
        --real ../shared/data --arms recipe "masked beside" "no cells" "as reconstructed"

Each arm trains the tiny encoder (--model) on one thread for the same processor time (steps follow from measured costs,
so that a busy machine changes nothing), then `benchmarks.pretraining.probe` measures it. Arms that are done are kept;
a killed run goes on where it was.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.known_tomograms import SEEN
from tomoseek.complexes import Complex
from tomoseek.files import atomic_write_json
from tomoseek.running import progress
from tomoseek.simulate import MicroscopeConfig, SceneConfig, random_assembly, simulate_tomogram
from tomoseek.simulate.command import write_volumes
from tomoseek.tomograms.project import create_project

NUM_UNLABELED = 8
UNLABELED_SEED = 2**42
NOISE2NOISE = "half_types=[wbp-even,wbp-odd]"


@dataclass(frozen=True, slots=True)
class Part:
    """One stage of an arm: its share of the time and its words."""

    stage: str
    share: float = 1.0
    words: tuple[str, ...] = ()

    def data(self, project: Path) -> list[str]:
        """Name the unlabeled tomograms to the masked stage; the metric stage would set particles into them."""
        return [f"data.project={project}"] if self.stage == "masked" else []


def arms(maps: Path | None) -> dict[str, list[Part]]:
    """List the arms; the first is the recipe."""
    listed = {
        "recipe": [Part("metric")],
        "recipe, another seed": [Part("metric", words=("seed=1",))],
        "masked first, noise2noise": [Part("masked", 0.4, (NOISE2NOISE,)), Part("metric", 0.6)],
        "masked first, raw target": [Part("masked", 0.4, ("masked.target_sigma=0",)), Part("metric", 0.6)],
        "masked only, noise2noise": [Part("masked", 1.0, (NOISE2NOISE,))],
        "masked beside": [Part("metric", words=("metric.masked_weight=0.5",))],
        "no cells": [Part("metric", words=("metric.in_situ_share=0",))],
        "as reconstructed": [Part("metric", words=("processing@metric.processing=none",))],
        "no ViT": [Part("metric", words=("model.depth=0",))],
        "linear patches": [Part("metric", words=("model.tokenizer=patches",))],
        "any mass, no families": [Part("metric", words=("metric.siblings=1",))],
        "30 classes": [Part("metric", words=("metric.num_classes=30",))],
        "100 classes": [Part("metric", words=("metric.num_classes=100",))],
        "300 classes": [Part("metric", words=("metric.num_classes=300",))],
        "bright only": [Part("metric", words=("metric.snr=[0.15,0.5]",))],
        "dim only": [Part("metric", words=("metric.snr=[0.02,0.1]",))],
    }
    if maps is not None:
        files = f"metric.maps=[{','.join(str(maps / f'{name}.mrc') for name in SEEN)}]"
        listed["real maps only"] = [Part("metric", words=(files, "metric.num_classes=0"))]
        listed["real and procedural"] = [Part("metric", words=(files,))]
    return listed


def unlabeled_project(folder: Path) -> Path:
    """Simulate tomograms of procedural assemblies, bright to dim, with halves, for the masked stage."""
    config = folder / "copick.json"
    if config.exists() and len(list((folder / "static").rglob("*.zarr"))) == 3 * NUM_UNLABELED:
        return config
    root = create_project(folder, [Complex(name="assembly", radius_angstrom=100.0)])
    for index in progress(range(NUM_UNLABELED), "simulate unlabeled", "tomogram"):
        densities = {str(k): random_assembly(UNLABELED_SEED + 100 * index + k, 10.0) for k in range(24)}
        snr = float(np.geomspace(0.02, 0.5, NUM_UNLABELED)[index])
        tomogram = simulate_tomogram(
            densities, dict.fromkeys(densities, 16),
            SceneConfig(shape=[96, 256, 256], crowding=[0.0, 0.01], crowd_kda=[30.0, 120.0]),
            MicroscopeConfig(snr=[snr, snr], defocus_um=[1.5, 6.0]), UNLABELED_SEED + index,
        )  # fmt: skip
        write_volumes(root, f"unlabeled_{index}", tomogram, 10.0)
    return config


def pretrain(words: list[str]) -> float:
    """Run ``python -m pretrain`` on one thread and return the processor time it took, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "pretrain", "device=cpu", *words], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def costs(part: Part, model: str, project: Path, out: Path) -> dict[str, float]:
    """Measure seconds of processor time per step and per pair of scenes, by runs of different length."""
    words = [f"model={model}", "metric.calibrate=false", *part.words]
    path = out / f"costs_{part.stage}.json"
    if path.exists():
        saved: dict[str, float] = json.loads(path.read_text())
        return saved
    still = ["metric.pool=1", "metric.refresh_every=1000"]
    common = [f"stage={part.stage}", f"out_dir={out / 'costs'}", "resume=false", *words, *part.data(project)]
    short, long = (pretrain([*common, *still, f"num_steps={steps}"]) for steps in (2, 12))
    measured = {"step": (long - short) / 10, "pair": 0.0}
    if part.stage == "metric":
        moving = pretrain([*common, "metric.pool=1", "metric.refresh_every=1", "num_steps=8"])
        still_8 = short + 6 * measured["step"]
        measured["pair"] = max(moving - still_8, 0.0) / 7
    atomic_write_json(path, measured)
    return measured


def steps_within(seconds: float, cost: dict[str, float], pool: int = 8, refresh_every: int = 24) -> int:
    """Return how many steps fit, the scenes of the pool included."""
    return max(1, int((seconds - pool * cost["pair"]) / (cost["step"] + cost["pair"] / refresh_every)))


def train_arm(
    name: str, parts: list[Part], model: str, project: Path, out: Path, seconds: float, start_from: str | None
) -> dict[str, Any]:
    """Train one arm, from fresh weights or an encoder, and return what it took."""
    folder = out / "arms" / name.replace(" ", "_").replace(",", "")
    record_path = folder / "record.json"
    if record_path.exists():
        saved: dict[str, Any] = json.loads(record_path.read_text())
        return saved
    used, steps_taken = 0.0, []
    encoder: str | Path | None = start_from
    for part in parts:
        num_steps = steps_within(seconds * part.share, costs(part, model, project, folder))
        out_dir = folder / part.stage
        words = [f"stage={part.stage}", f"model={model}", f"num_steps={num_steps}", f"out_dir={out_dir}"]
        words += [f"warmup_steps={max(5, num_steps // 10)}", "metric.calibrate=false"]
        words += [] if encoder is None else [f"encoder={encoder}"]
        words += [] if start_from is None else ["learning_rate=4e-4"]  # what is trained goes on at a lower rate
        words += [*part.data(project), *part.words]
        used += pretrain(words)
        encoder = out_dir
        steps_taken.append(num_steps)
    record = {"name": name, "encoder": str(encoder), "steps": steps_taken, "processor_seconds": used}
    atomic_write_json(record_path, record)
    return record


def main() -> None:
    """Train and measure all arms, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("ablations"), help="folder of arms and measurements")
    parser.add_argument("--maps", type=Path, help="folder of density maps named after their PDB entries")
    parser.add_argument("--minutes", type=float, default=6.0, help="processor time of each arm (default 6)")
    parser.add_argument(
        "--model", default="tiny", help="size of the encoder (default tiny, which learns most in little time)"
    )
    parser.add_argument("--start", help="encoder that every arm goes on from; fresh weights without")
    parser.add_argument("--real", type=Path, help="folder of real data, on which benchmarks.reality judges every arm")
    parser.add_argument("--arms", nargs="*", help="only these")
    arguments = parser.parse_args()
    project = unlabeled_project(arguments.out / "unlabeled")
    listed = arms(arguments.maps)
    for name in arguments.arms or listed:
        seconds = 60 * arguments.minutes
        record = train_arm(name, listed[name], arguments.model, project, arguments.out, seconds, arguments.start)
        if arguments.real is not None:
            words = ["--data", str(arguments.real), "--out", str(arguments.out / "reality"), "--quick"]
            command = [sys.executable, "-m", "benchmarks.reality", *words, "--encoder", record["encoder"]]
            subprocess.run(command, check=True)
        words = ["--out", str(arguments.out / "probe"), "--controls", "--encoder", f"{name}={record['encoder']}"]
        if arguments.maps is not None:
            words += ["--maps", str(arguments.maps)]
        subprocess.run([sys.executable, "-m", "benchmarks.pretraining.probe", *words], check=True)


if __name__ == "__main__":
    main()
