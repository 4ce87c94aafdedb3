"""What adapting an encoder to unlabeled tomograms of another kind is worth.

python -m benchmarks.pretraining.adaptation --maps ../shared/data/maps --out adaptation --encoder shipped --num-steps
100

For each kind of tomogram (pixel size, defocus, dose, thickness unlike pretraining) 5-shot average precision on
complexes no encoder was trained on: with the encoder as it is; after ``pretrain stage=adapt data.project=...`` on
those very tomograms without their labels; and after as many further steps that never saw them.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.known_tomograms import REGIMES, STANDARD, KnownTomograms, make_tomograms
from benchmarks.pretraining.probe.measures import search_from_examples
from benchmarks.pretraining.probe.rows import encoder_features
from tomoseek.complexes import Complex
from tomoseek.files import atomic_write_json
from tomoseek.network.weights import load_encoder
from tomoseek.running import pick_device
from tomoseek.simulate.command import write_volumes
from tomoseek.tomograms.project import create_project

SHIFTED = [name for name in REGIMES if name not in STANDARD]
SHOTS = 5


def write_project(known: KnownTomograms, folder: Path) -> Path:
    """Write the tomograms of a known, and no label, into a copick project."""
    root = create_project(folder, [Complex(name="unknown", radius_angstrom=100.0)])
    for index, tomogram in enumerate(known.simulated):
        write_volumes(root, f"run_{index}", tomogram, known.regime.voxel_spacing)
    return folder / "copick.json"


def adapt(encoder: str, out: Path, num_steps: int, learning_rate: float, *words: str) -> Path:
    """Go on from an encoder, with the tomograms of a project if one is among the words."""
    stage = "adapt" if any(word.startswith("data.project=") for word in words) else "metric"
    common = [f"stage={stage}", f"encoder={encoder}", f"out_dir={out}", f"num_steps={num_steps}", "warmup_steps=5"]
    rate = f"learning_rate={learning_rate}"
    subprocess.run([sys.executable, "-m", "pretrain", *common, rate, *words], check=True)
    return out


def precision(source: str, known: KnownTomograms, device: torch.device) -> float:
    """Mean 5-shot average precision over the classes of a known."""
    scores = search_from_examples(known, encoder_features(load_encoder(source, device), known, device), SHOTS)
    return float(np.mean([score["average_precision"] for score in scores.values()]))


def main() -> None:
    """Adapt to each kind of tomogram, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, help="folder of density maps named after their PDB entries")
    parser.add_argument("--out", type=Path, default=Path("adaptation"))
    parser.add_argument("--encoder", default="shipped")
    parser.add_argument("--num-steps", type=int, default=100, help="0: only the encoder as it is")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--regimes", nargs="*", default=SHIFTED, choices=list(REGIMES))
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device, out = pick_device(arguments.device), arguments.out
    taught = (arguments.num_steps, arguments.learning_rate)
    further = adapt(arguments.encoder, out / "further", *taught) if arguments.num_steps else None
    rows: dict[str, dict[str, Any]] = {}
    for name in arguments.regimes:
        known = make_tomograms(name, arguments.maps)
        rows[name] = {"as it is": precision(arguments.encoder, known, device)}
        print(f"{name}: {rows[name]}", flush=True)
        if further is None:
            continue
        folder = out / name.replace(" Å", "A").replace(" ", "_")  # no word of Hydra holds an Å unquoted
        words = ["half_types=[wbp-even,wbp-odd]", f"data.project={write_project(known, folder / 'project')}"]
        start = time.perf_counter()
        adapted = adapt(arguments.encoder, folder / "encoder", *taught, *words)
        seconds = time.perf_counter() - start
        sources = {"further steps": str(further), "adapted": str(adapted)}
        rows[name] |= {key: precision(source, known, device) for key, source in sources.items()} | {"seconds": seconds}
        atomic_write_json(out / "adaptation.json", rows)
        print(f"{name}: {rows[name]}", flush=True)
    print("| tomograms | as it is | further steps | adapted | seconds to adapt |\n|---|---|---|---|---|")
    for name, row in rows.items():
        cells = [f"{row[key]:.2f}" if key in row else "" for key in ("as it is", "further steps", "adapted")]
        print(f"| {name} | {' | '.join(cells)} | {row.get('seconds', 0):.0f} |")


if __name__ == "__main__":
    main()
