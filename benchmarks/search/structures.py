"""Search from a structure, without any click, beside clicks and template matching with the same map.

    python -m benchmarks.search.structures --maps ../shared/data/maps --encoder shipped
    python -m benchmarks.search.structures --maps ../shared/data/maps --encoder shipped --development
    python -m benchmarks.search.structures --maps ../shared/data/maps --regimes --lamella ../shared/data/real/yeast80S

The tomograms of `benchmarks.pretraining.probe`. Every map is searched in all three tomograms of a regime: as
``embed query structure=`` does it, all maps there are in one query; with five clicks from one tomogram, by turns, five
draws; and, with ``--templates``, by template matching with the same map, the true defocus and tilts. *Absent* are maps
of which the tomograms hold none.
*Faintest* are the lowest particle logits, of the true particles and of the renderings that are examples; *dense and
no particle* is how many of the places as dense as the renderings the encoder takes for no particle
(`embed.misled`). Prints Markdown.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.known_tomograms import (
    CLUTTER,
    DEVELOPMENT,
    STANDARD,
    UNSEEN,
    KnownTomograms,
    build_index,
    draw_examples,
    make_tomograms,
)
from benchmarks.pretraining.probe.template_row import template_row
from benchmarks.reality.lamella import MULTIPLES, RADIUS, RUN, hits, open_lamella
from embed.examples import Examples, read_examples
from embed.index import Index
from embed.misled import share_unlike_particles
from embed.search import Found, search
from embed.structure.examples import structure_examples
from embed.structure.sources import Structure, find_structures
from tomoseek.errors import InputError
from tomoseek.evaluation.ranking import rank, score_ranking
from tomoseek.running import pick_device

NUM_DRAWS, SHOTS = 5, 5
RIBOSOMES = ("6qzp", "4v7r")  # human and yeast 80S


def average_precision(known: KnownTomograms, found: Found, key: str) -> float:
    """Score every candidate of a search by the true places of a class."""
    truth = {f"{known.tomograms[k].run}": points[key] for k, points in enumerate(known.points)}
    truth = {run: truth[run] for run in found.candidates}
    return float(score_ranking(truth, found.candidates, known.radii[key])["average_precision"])


def num_right(known: KnownTomograms, found: Found, key: str) -> int:
    """Return how many picks of a search are right."""
    truth = {known.tomograms[k].run: points[key] for k, points in enumerate(known.points)}
    return int(rank(truth, found.by_run, known.radii[key]).right.sum())


def faintest(known: KnownTomograms, index: Index, key: str) -> float:
    """Return the lowest particle logit at true centres of a class."""
    places = [(tomogram.run, points[key]) for tomogram, points in zip(known.tomograms, known.points, strict=True)]
    return min(float(read_examples(index, points, run, 0.0).particle_logit.min()) for run, points in places)


def clicks(known: KnownTomograms, index: Index, key: str) -> float:
    """Average precision of five clicks in one tomogram, searched in the others, by turns and draws."""
    scores = []
    for support, tomogram in enumerate(known.tomograms):
        others = [each.run for each in known.tomograms if each.run != tomogram.run]
        for draw in range(NUM_DRAWS):
            points = draw_examples(known.points[support][key], support, SHOTS, draw)
            examples = read_examples(index, points, tomogram.run)
            found = _search(index, examples, known.radii[key], key, others)
            scores.append(average_precision(known, found, key))
    return float(np.mean(scores))


def _search(
    index: Index, examples: Examples, radius: float, key: str, runs: list[str], rendered: Examples | None = None
) -> Found:
    return search(index, examples, radius_angstrom=radius, name=key, runs=runs, threshold=None, rendered=rendered)


def measure(name: str, maps: Path, source: str, development: bool, templates: bool, device: str) -> list[str]:
    """Return the rows of one regime."""
    known = make_tomograms(name, maps, development)
    runs = [tomogram.run for tomogram in known.tomograms]
    by_run = {tomogram.run: tomogram for tomogram in known.tomograms}
    present = DEVELOPMENT if development else UNSEEN
    others = [path.stem for path in sorted(maps.glob("*.mrc")) if path.stem not in present]
    absent = [key for key in others if key not in CLUTTER or not known.regime.clutter]
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        index = build_index(Path(folder) / "index", source, known, pick_device(device))
        structures = {key: _structure(maps, key) for key in (*present, *absent)}
        structures = {key: value for key, value in structures.items() if value is not None}
        started = time.perf_counter()
        examples, strength = structure_examples(index, structures, runs, by_run.__getitem__)
        seconds = (time.perf_counter() - started) / len(structures)
        radii = {key: known.radii.get(key, each.radius_angstrom) for key, each in structures.items()}
        found = {key: _search(index, examples[key], radii[key], key, runs, examples[key]) for key in structures}
        precision = {key: average_precision(known, found[key], key) for key in present}
        rows.append(_row(f"{name}, structure ({seconds:.0f} s each, strength {strength or 0:.2f})", precision))
        rows.append(_row(f"{name}, five clicks", {key: clicks(known, index, key) for key in present}))
        if templates:
            shots = template_row(known, pick_device(device))["shots"]["5"]
            rows.append(_row(f"{name}, template", {key: shots[key]["average_precision"] for key in present}))
        off = []
        unlike = {key: share_unlike_particles(index, runs, examples[key], radii[key]) for key in structures}
        for key, each in found.items():
            promised = each.cutoff.precision
            expected = sum(float(values.sum()) for values in (each.probability or {}).values())
            picks = sum(len(points) for points in each.by_run.values())
            said = f"expected {expected:.1f}, {picks} picks, promised {promised or 0:.2f}"
            if key in present:
                right = num_right(known, each, key)
                off.append((promised or 0.0) - right / max(picks, 1))
                said += f", kept {right / max(picks, 1):.2f}; faintest true logit {faintest(known, index, key):.1f}"
            said += f"; faintest rendering {examples[key].particle_logit.min():.1f}"
            said += f"; dense and no particle {unlike[key]:.0%}"
            rows.append(f"| {'present' if key in present else 'absent'} {key}: {said} |")
        rows.append(f"| promise off by {np.mean(np.abs(off)):.2f}, signed {np.mean(off):+.2f} |")
    return rows


def real_rows(folder: Path, maps: Path, source: str, device: str) -> list[str]:
    """Return the rows of the half yeast lamella: ribosomes from maps."""
    lamella, rows = open_lamella(folder), []
    runs = [RUN]
    with tempfile.TemporaryDirectory() as kept:
        index = Index.create(Path(kept) / "index", source, device=device)
        index.add(lamella.tomogram)
        for key in RIBOSOMES:
            structures = find_structures({key: maps / f"{key}.mrc"}, 10.0)
            given, strength = structure_examples(index, structures, runs, lambda _: lamella.tomogram)
            examples = given[key]
            for how, rendered in (("as a query does it", examples), ("by likeness alone", None)):
                found = _search(index, examples, RADIUS, key, runs, rendered)
                ranked = "density" if found.ranked_by_density else "likeness"
                places = found.candidates[RUN].points_xyz
                first = [hits(lamella.truth_xyz, places[: k * len(lamella.truth_xyz)]) for k in MULTIPLES]
                shares = " | ".join(f"{float(hit.mean()):.2f}" for hit in first)
                unlike = share_unlike_particles(index, runs, examples, RADIUS)
                said = f"{how}: {ranked}; dense and no particle {unlike:.0%}"
                rows.append(f"| lamella, {key}, strength {strength or 0:.2f}, {said} | {shares} |")
    return rows


def _structure(maps: Path, key: str) -> Structure | None:
    """Read a map; None of what is too small to be searched for."""
    try:
        return find_structures({key: maps / f"{key}.mrc"}, 10.0)[key]
    except InputError:
        return None


def _row(name: str, values: dict[str, Any]) -> str:
    cells = " | ".join(f"{key} {value:.2f}" for key, value in values.items())
    return f"| {name} | {cells} | **{np.mean(list(values.values())):.3f}** |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, required=True, help="folder of density maps named after their PDB entries")
    parser.add_argument("--encoder", default="shipped")
    parser.add_argument("--regimes", nargs="*", choices=STANDARD, default=["bright", "dim"])
    parser.add_argument("--development", action="store_true", help="other complexes and tomograms, to develop on")
    parser.add_argument("--templates", action="store_true", help="match templates as well (24 s for each map)")
    parser.add_argument("--lamella", type=Path, help="folder of the half yeast lamella and its ribosomes")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    for name in arguments.regimes:
        rows = measure(
            name, arguments.maps, arguments.encoder, arguments.development, arguments.templates, arguments.device
        )
        print("\n".join(rows), flush=True)
    if arguments.lamella is not None:
        print("\n".join(real_rows(arguments.lamella, arguments.maps, arguments.encoder, arguments.device)), flush=True)


if __name__ == "__main__":
    main()
