"""What a pretrained encoder is worth to a picker with one labelled tomogram, beside the same picker from scratch.

    python -m benchmarks.label_gain --maps ../shared/data/maps --out label_gain --encoder shipped random-small

Dim tomograms (signal to noise 0.02 to 0.1 per projection) of 96 x 256 x 256 voxels, five challenge complexes among
unlabelled smaller proteins. One labelled tomogram teaches, a second chooses the thresholds, two are scored. Leaves
one folder per encoder and seed and prints weighted F4 and average precision, mean over seeds.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.probe.bed import CLUTTER, CLUTTER_PER_CLASS
from tomoseek.demo_plan import bracket

CLASSES = ("apo-ferritin", "beta-galactosidase", "ribosome", "thyroglobulin", "virus-like-particle")
PER_CLASS = 12


def command(*words: str) -> None:
    """Run ``python -m ...`` and stop if it fails."""
    print("$ python -m", *words, flush=True)
    subprocess.run([sys.executable, "-m", *words], check=True)


def make_project(out: Path, maps: Path) -> None:
    """Simulate four dim tomograms; the small proteins are in the project but in no list of classes."""
    counts = ",".join(f"{name}: {CLUTTER_PER_CLASS}" for name in CLUTTER)
    command(
        "tomoseek", "simulate", f"out_dir={out / 'project'}", "prefix=dim_", "num_runs=4", "size=[96,256,256]",
        f"complexes={bracket([*CLASSES, *CLUTTER])}", f"counts={PER_CLASS}", f"counts_of={{{counts}}}",
        f"maps_folder={maps}", "microscope.snr=[0.02,0.1]", "seed=77",
    )  # fmt: skip


def train_and_score(out: Path, encoder: str, seed: int, num_steps: int) -> dict[str, Any]:
    """Train on the first run, choose thresholds on the second, score the others."""
    folder = out / f"{encoder.replace('/', '_')}-{seed}"
    path = folder / "predict" / "evaluation.json"
    if not path.exists():
        project, test = f"data.project={out / 'project' / 'copick.json'}", "data.runs=[dim_002,dim_003]"
        checkpoint = f"checkpoint={folder / 'picker'}"
        # From scratch the encoder has to learn as fast as the decoder.
        scale = 1.0 if encoder.startswith("random") else 0.3
        command(
            "finetune", "train", project, "data.runs=[dim_000,dim_001]", "validation_runs=[dim_001]",
            f"classes={bracket(list(CLASSES))}", f"encoder={encoder}", f"out_dir={folder / 'picker'}",
            f"num_steps={num_steps}", f"seed={seed}", f"encoder_learning_rate_scale={scale}",
        )  # fmt: skip
        command("finetune", "predict", project, test, checkpoint, f"out_dir={folder / 'predict'}")
        command(
            "finetune", "evaluate", project, test, checkpoint, f"candidates={folder / 'predict'}",
            f"out_dir={folder / 'predict'}",
        )  # fmt: skip
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def main() -> None:
    """Run what is not done yet and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, required=True, help="folder of density maps named after PDB entries")
    parser.add_argument("--out", type=Path, default=Path("label_gain"))
    parser.add_argument("--encoder", nargs="+", default=["shipped", "random-small"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--num-steps", type=int, default=250)
    arguments = parser.parse_args()
    make_project(arguments.out, arguments.maps)
    print(f"| encoder | weighted F4 (each seed) | {' | '.join(CLASSES)} |")
    print("|---" * (len(CLASSES) + 2) + "|")
    for encoder in arguments.encoder:
        records = [train_and_score(arguments.out, encoder, k, arguments.num_steps) for k in range(arguments.seeds)]
        total = [record["weighted_f4"] for record in records]
        cells = [
            f"{np.mean([r['classes'][name]['f4'] for r in records]):.2f} "
            f"(AP {np.mean([r['classes'][name]['average_precision'] for r in records]):.2f})"
            for name in CLASSES
        ]
        spread = ", ".join(f"{value:.3f}" for value in total)
        print(f"| {encoder} | {np.mean(total):.3f} ({spread}) | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
