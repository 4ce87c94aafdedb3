"""How well does an encoder do on real tomograms, beside controls that have learned nothing?

    python -m benchmarks.reality --data ../shared/data --out reality --encoder shipped random-small
    python -m benchmarks.reality --data ../shared/data --out reality --encoder runs/x --quick

Ribosomes in half of a yeast lamella are searched from 1, 5 and 10 examples, five draws each; the particle logit at
listed ribosomes is held against random places of the slab; a lysosome, exosomes and microtubules, which have no
references, are embedded and explored. Prints Markdown. Each encoder gets a folder in --out, named by its fingerprint,
with ``record.json`` and pictures to look at; run again, only what is missing is measured. ``--quick`` takes five
examples and the particle logit alone.
"""

import argparse
import shutil
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.reality import controls, embedded, pictures
from benchmarks.reality.lamella import RUN, Lamella, open_lamella, recalls
from benchmarks.reality.record import Record
from benchmarks.reality.tables import markdown
from benchmarks.reality.unlabelled import look
from embed import Index
from tomoseek.errors import InputError
from tomoseek.messages import Notice
from tomoseek.network.encoder import Encoder
from tomoseek.network.weights import fingerprint, load_encoder
from tomoseek.simulate import load_density

SHOTS = (1, 5, 10)
NUM_DRAWS = 5
TEMPLATE = "6qzp.mrc"
TEMPLATE_ROTATIONS = 500  # some 26° apart, enough for what voxels of 31 Å show
BALL_RADIUS = 125.0  # Å: has the radius of gyration of 6qzp


def main() -> None:
    """Measure what is missing, print the tables."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.reality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with real/ and maps/")
    parser.add_argument("--out", type=Path, default=Path("reality"))
    parser.add_argument("--encoder", nargs="+", default=["shipped", "random-small"], help="names, folders or files")
    parser.add_argument("--spacings", nargs="+", type=float, default=[10.0], help="Å per voxel that encoders see")
    parser.add_argument("--quick", action="store_true", help="five examples and the particle logit; no controls")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    chosen = parser.parse_args()
    if not (chosen.data / "real" / "yeast80S").is_dir():
        parser.error(f"--data: expected a folder with real/yeast80S, found '{chosen.data}'; see docs/public_data.md")
    warnings.simplefilter("ignore", Notice)  # the searches promise nothing here, and need not say so each time
    lamella = open_lamella(chosen.data / "real" / "yeast80S")
    records = {}
    try:
        if not chosen.quick:
            records["controls"] = measure_controls(lamella, chosen.data / "maps" / TEMPLATE, chosen.out)
        for source in chosen.encoder:
            records[source] = measure_encoder(lamella, source, chosen)
    except (InputError, FileNotFoundError) as error:
        parser.error(str(error))
    print(f"\n{markdown(records, chosen.spacings)}\n")
    print(f"Examples, halves and random places are drawn with seeds 0 to {NUM_DRAWS - 1}. Measured in:\n")
    for name, record in records.items():
        print(f"- {name}: {record}")


def measure_controls(lamella: Lamella, template: Path, out: Path) -> Record:
    """Measure what needs no encoder, at the voxels that the tomogram has."""
    record, spacing = Record(out / "controls", {"template": template.name}), lamella.tomogram.voxel_spacing
    draws = drawn(lamella, 5)

    def blobs() -> dict[str, Any]:
        """The widths that do best by recall among the first 2N."""
        tried = {sigmas: unaided(lamella, controls.blobs(lamella, sigmas), draws) for sigmas in controls.BLOB_SIGMAS}
        best = max(tried, key=lambda sigmas: float(np.mean(tried[sigmas], axis=0)[1]))
        return {"sigmas": best, "recalls": tried[best]}

    def matches(density: torch.Tensor, num_rotations: int, whiten: bool) -> list[list[float]]:
        return unaided(lamella, controls.template_matches(lamella, density, num_rotations, whiten), draws)

    def voxels(count: int) -> list[list[float]]:
        given = drawn(lamella, count)
        return scored(lamella, [controls.alike_voxels(lamella, points) for points in given], given)

    record.measure("blobs", blobs)
    for whiten, words in ((True, ", whitened"), (False, "")):
        ball, true = controls.ball(BALL_RADIUS, spacing), load_density(template, spacing)
        record.measure(f"recall; template matching with a ball{words}; none", partial(matches, ball, 1, whiten))
        record.measure(
            f"recall; template matching with the true map{words}; none",
            partial(matches, true, TEMPLATE_ROTATIONS, whiten),
        )
    for count in SHOTS:
        record.measure(f"recall; smoothed voxels; {count}", partial(voxels, count))
    return record


def measure_encoder(lamella: Lamella, source: str, chosen: argparse.Namespace) -> Record:
    """Measure one encoder, at each voxel spacing."""
    encoder = load_encoder(source)
    mark = fingerprint(encoder)
    record = Record(chosen.out / mark, {"encoder": source, "fingerprint": mark})
    for spacing in chosen.spacings:
        parts = quick_parts(lamella) if chosen.quick else lamella_parts(lamella)
        if not chosen.quick:
            path = record.folder / f"lamella-{spacing:g}.png"
            parts["picture"] = partial(pictured, lamella, f"{source}, {spacing:g} Å per voxel", path)
        missing = [part for part in parts if not record.has(f"{part} @ {spacing:g}")]
        if not missing:
            continue
        folder, start = record.folder / f"index-{spacing:g}", time.perf_counter()
        index = Index.create(folder, encoder, resample=spacing, device=chosen.device)
        if index.add(lamella.tomogram):
            record.keep(f"embedding @ {spacing:g}", index.entries[RUN].num_vectors, time.perf_counter() - start)
        for part in missing:
            record.measure(f"{part} @ {spacing:g}", partial(parts[part], index))
        shutil.rmtree(folder)
    if not chosen.quick:
        record.measure("unlabelled", partial(explored, record.folder, encoder, source, chosen))
    return record


def pictured(lamella: Lamella, name: str, path: Path, index: Index) -> str:
    """Draw what the first draw of five examples finds."""
    examples = lamella.draw(5, seed=0)
    pictures.draw_lamella(lamella, embedded.search(index, examples), examples, name, path)
    return path.name


def explored(folder: Path, encoder: Encoder, source: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """Embed and explore the volumes without references, as a user would, and draw them."""
    index = Index.create(folder / "index-unlabelled", encoder, device=chosen.device)
    seen = look(index, chosen.data / "real")
    if seen:
        pictures.draw_unlabelled(seen, source, folder / "unlabelled.png")
    shutil.rmtree(index.folder)
    return {each.volume.run: each.figures for each in seen}


def quick_parts(lamella: Lamella) -> dict[str, Callable[[Index], Any]]:
    """What tells of an encoder in training how it does in the lamella."""

    def few(index: Index) -> list[list[float]]:
        return embedded.cosine_of_few(lamella, index, drawn(lamella, 5))

    return {
        "logits": lambda index: embedded.particle_logits(lamella, index),
        "recall; search; 5": partial(searched, lamella, 5),
        "recall; plain cosine with the mean; 5": few,
    }


def lamella_parts(lamella: Lamella) -> dict[str, Callable[[Index], Any]]:
    """All that is measured in the lamella."""

    def alone(index: Index) -> list[list[float]]:
        return unaided(lamella, embedded.particle_score_alone(index), drawn(lamella, 5))

    return {
        **{f"recall; search; {count}": partial(searched, lamella, count) for count in SHOTS},
        **quick_parts(lamella),
        "recall; particle score alone; none": alone,
        "halves": lambda index: embedded.probes_of_half(lamella, index, NUM_DRAWS),
    }


def drawn(lamella: Lamella, count: int) -> list[Any]:
    """Draw examples, again and again."""
    return [lamella.draw(count, seed) for seed in range(NUM_DRAWS)]


def searched(lamella: Lamella, count: int, index: Index) -> list[list[float]]:
    """Search from each draw of so many examples."""
    draws = drawn(lamella, count)
    return scored(lamella, [embedded.search(index, examples) for examples in draws], draws)


def unaided(lamella: Lamella, found: Any, draws: list[Any]) -> list[list[float]]:
    """Score finds that were made without examples as if each draw had been given."""
    return scored(lamella, [found] * len(draws), draws)


def scored(lamella: Lamella, found: list[Any], draws: list[Any]) -> list[list[float]]:
    """Score the finds of each draw."""
    return [recalls(points, lamella.truth_xyz, examples) for points, examples in zip(found, draws, strict=True)]


if __name__ == "__main__":
    main()
