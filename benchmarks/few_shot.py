"""Average precision of few-shot search for every labelled complex of a project, by encoder and by search direction.

    python -m tomoseek simulate out_dir=val prefix=val_ num_runs=3 seed=5000 counts=8 \\
        'complexes=[apo-ferritin,beta-amylase,beta-galactosidase,ribosome,thyroglobulin,virus-like-particle,proteasome]'
    python -m benchmarks.few_shot --project val/copick.json --encoder demo/pretrain_metric random-small

The metric stage knows random assemblies only; the masked stage of the demo has met the six challenge complexes,
unlabeled, and never the proteasome. Examples are drawn from the first run, by seed; the others are searched.
Prints a Markdown table: rows complexes, mean over seeds.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from embed.build import add_tomograms, open_or_create
from embed.evaluate import evaluate_query
from embed.index import Index, new_header
from embed.prototype import Discriminant
from embed.shard import Storage
from tomoseek.config import DataConfig, Polarity
from tomoseek.picks import read_picks
from tomoseek.tomograms import Tomogram, find_tomograms, object_radii, open_project
from tomoseek.training import pick_device
from tomoseek.weights import fingerprint, load_encoder


def build_index(folder: Path, source: str, tomograms: list[Tomogram], device: str) -> Index:
    """Embed all tomograms with one encoder."""
    encoder = load_encoder(source, pick_device(device))
    header = new_header(
        fingerprint=fingerprint(encoder), encoder=source, encoder_config=dataclasses.asdict(encoder.config),
        storage=Storage.int8, keep_fraction=1.0, tile=96, overlap=16,
    )  # fmt: skip
    index = open_or_create(folder, header)
    add_tomograms(index, encoder, tomograms, pick_device(device))
    return index


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", required=True, help="copick.json with ground truth by user simulator")
    parser.add_argument("--encoder", nargs="+", required=True, help="folders, or random-small")
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    root = open_project(arguments.project)
    data = DataConfig(
        project=arguments.project, runs=None, tomogram_type="wbp", voxel_spacing=None, polarity=Polarity.dark
    )
    tomograms = find_tomograms(data)
    first, *others = (tomogram.run for tomogram in tomograms)
    columns: dict[str, dict[str, float]] = {}
    for source in arguments.encoder:
        with tempfile.TemporaryDirectory() as folder:
            index = build_index(Path(folder) / "index", source, tomograms, arguments.device)
            for discriminant in Discriminant:
                column = columns.setdefault(f"{source}, {discriminant.value}", {})
                for name, radius in object_radii(root).items():
                    truth = {run: read_picks(root, run, name, "simulator").points_xyz for run in (first, *others)}
                    scores = []
                    for seed in range(arguments.seeds):
                        chosen = np.random.default_rng(seed).permutation(len(truth[first]))[: arguments.shots]
                        found = index.search(
                            index.read_examples(truth[first][chosen], first), radius_angstrom=radius, runs=others,
                            threshold=0.0, discriminant=discriminant, particle_margin=2.0,
                        )  # fmt: skip
                        rest = {run: truth[run] for run in others}
                        scores.append(evaluate_query(rest, found.picks, radius)["average_precision"])
                    column[name] = float(np.mean(scores))
    print(f"| complex | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 1) + "|")
    for name in next(iter(columns.values())):
        print(f"| {name} | {' | '.join(f'{column[name]:.2f}' for column in columns.values())} |")
    print(f"| mean | {' | '.join(f'{np.mean(list(column.values())):.2f}' for column in columns.values())} |")


if __name__ == "__main__":
    main()
