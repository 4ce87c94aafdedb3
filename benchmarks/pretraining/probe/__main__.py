"""Compare representations on complexes that none of them was trained on; one command, one table.

    python -m benchmarks.pretraining.probe --maps ../shared/data/maps --out probe --encoder shipped
    python -m benchmarks.pretraining.probe --out probe --encoder runs/metric runs/masked --controls random raw

Six real maps (procedural complexes without --maps) in three tomograms of each regime (bright, dim, in situ and
processed) of 96 x 256 x 256 voxels: average precision of search from 1, 5 and 10 examples, F1 of linear probes,
localisation error of the smallest complex. Every row is kept in --out as it is finished; run again, only what is
missing is computed.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.known_tomograms import SMALLEST, STANDARD, KnownTomograms, make_tomograms
from benchmarks.pretraining.probe.measures import SHOTS, DenseFeatures, linear_probe, search_from_examples
from benchmarks.pretraining.probe.rows import difference_of_gaussians, encoder_features, raw_voxels
from benchmarks.pretraining.probe.supervised import supervised_row
from benchmarks.pretraining.probe.template_row import template_row
from tomoseek.files import atomic_write_json
from tomoseek.network.weights import fingerprint, load_encoder
from tomoseek.running import pick_device

CONTROLS = ("random", "raw", "dog", "templates", "supervised")


def measure_features(known: KnownTomograms, features: list[DenseFeatures]) -> dict[str, Any]:
    """Take every measure of one representation in one regime."""
    shots = {str(k): search_from_examples(known, features, k) for k in SHOTS}
    return {"shots": shots, **linear_probe(known, features)}


def encoder_row(source: str, device: torch.device) -> Callable[[KnownTomograms], dict[str, Any]]:
    """Return what measures one encoder."""
    encoder = load_encoder(source, device)

    def row(known: KnownTomograms) -> dict[str, Any]:
        start = time.perf_counter()
        features = encoder_features(encoder, known, device)
        seconds = (time.perf_counter() - start) / len(features)
        return {
            **measure_features(known, features),
            "seconds_per_tomogram": seconds,
            "fingerprint": fingerprint(encoder),
        }

    return row


def markdown(records: dict[str, dict[str, Any]]) -> str:
    """Lay out the rows as a table, averages over classes."""
    shots = [f"{regime} {k}-shot" for regime in STANDARD for k in SHOTS]
    other = [f"{name} {regime}" for name in ("particle F1", "class F1", "error, voxels") for regime in STANDARD]
    lines = [f"| features | {' | '.join([*shots, *other])} |", "|---" * (len(shots) + len(other) + 1) + "|"]
    for name, record in records.items():
        cells = []
        for regime in STANDARD:
            for k in SHOTS:
                scores = record[regime]["shots"].get(str(k), {})
                cells.append(_number([score["average_precision"] for score in scores.values()]))
        for key in ("particle_f1", "class_f1"):
            cells += [_number([record[regime][key]] if key in record[regime] else []) for regime in STANDARD]
        for regime in STANDARD:
            scores = record[regime]["shots"]["5"]
            smallest = SMALLEST if SMALLEST in scores else next(iter(scores))
            cells.append(_number([scores[smallest]["error_voxels"]]))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def per_class(records: dict[str, dict[str, Any]]) -> str:
    """Lay out the 5-shot average precision of each class."""
    first = next(iter(records.values()))
    columns = [(regime, key) for regime in STANDARD for key in first[regime]["shots"]["5"]]
    lines = [f"| 5-shot AP | {' | '.join(' '.join(c) for c in columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, record in records.items():
        cells = [_number([record[regime]["shots"]["5"][key]["average_precision"]]) for regime, key in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(values: list[float]) -> str:
    return f"{np.mean(values):.2f}" if values and np.isfinite(values).all() else "–"


def main() -> None:
    """Measure what is asked for and print the tables of everything in ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("probe"), help="folder of finished rows (default probe)")
    parser.add_argument("--maps", type=Path, help="folder of density maps named after their PDB entries")
    parser.add_argument("--encoder", nargs="*", default=[], help="name, folder, file or hub id; name=source renames")
    parser.add_argument("--controls", nargs="*", choices=CONTROLS, default=list(CONTROLS))
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    rows: dict[str, Callable[[], Callable[[KnownTomograms], dict[str, Any]]]] = {}
    for given in arguments.encoder:
        name, _, source = given.rpartition("=")
        rows[name or source] = lambda source=source: encoder_row(source, device)  # type: ignore[misc]
    controls: dict[str, Callable[[], Callable[[KnownTomograms], dict[str, Any]]]] = {
        "random": lambda: encoder_row("random-small", device),
        "raw": lambda: lambda known: measure_features(known, raw_voxels(known)),
        "dog": lambda: lambda known: measure_features(known, difference_of_gaussians(known)),
        "templates": lambda: lambda known: template_row(known, device),
        "supervised": lambda: lambda known: supervised_row(known, device),
    }
    rows |= {name: controls[name] for name in arguments.controls}

    beds: dict[str, KnownTomograms] = {}
    for name, prepare in rows.items():
        path = arguments.out / f"{name.replace(os.sep, '_')}.json"
        if path.exists():
            continue
        row = prepare()
        record: dict[str, Any] = {"name": name, "threads": torch.get_num_threads(), "device": str(device)}
        for regime in STANDARD:
            if regime not in beds:
                beds[regime] = make_tomograms(regime, arguments.maps)
            start = time.perf_counter()
            record[regime] = row(beds[regime])
            record[regime]["seconds"] = time.perf_counter() - start
        atomic_write_json(path, record)
        print(f"{name}: {sum(record[regime]['seconds'] for regime in STANDARD):.0f} s", flush=True)
    records = {record["name"]: record for record in map(_read, sorted(arguments.out.glob("*.json")))}
    print(markdown(records), per_class(records), sep="\n\n")


def _read(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text())
    return record


if __name__ == "__main__":
    main()
