"""Does a search see more than size? Decoys of the same size stand among the particles, beside template matching.

    python -m benchmarks.search.decoys --maps ../shared/data/maps --encoder shipped

Each complex has three decoys: a ball and an ellipsoid of its mass, and its own density with every shell of 20 Å
turned at random, which leaves the radial profile and shuffles the domains. They are unlabelled. Average precision from
five examples, drawn five times, counts finds on decoys as wrong; "without" leaves finds on decoys out. Templates are
the true maps at the true defocus. Prints Markdown.

References
----------
At common binnings a template of the true ribosome, a ball and a heart match nearly alike: Acta Cryst. D, 2024, vo5016.
"""

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from benchmarks.known_tomograms import (
    HOLLOW,
    PURIFIED,
    REGIMES,
    STANDARD,
    UNSEEN,
    draw_examples,
    simulate_regime,
)
from benchmarks.pretraining.probe.measures import peaks_of
from benchmarks.pretraining.probe.template_row import likeness_to
from embed import Index
from embed.examples import read_examples
from embed.promise import LOWEST_SCORE
from embed.search import MOST_CANDIDATES, search
from tomoseek import Tomogram
from tomoseek.evaluation.ranking import score_ranking
from tomoseek.picks.points import Picks
from tomoseek.running import progress
from tomoseek.simulate import SimulatedTomogram, load_density, random_assembly
from tomoseek.simulate.domains import centred, domain, mass_kda, rasterise
from tomoseek.simulate.placing import bounding_radius, turned_copies
from tomoseek.simulate.symmetry import random_rotations

SPACING = 10.0
PER_CLASS, PER_DECOY = 16, 8
NUM_TOMOGRAMS, NUM_DRAWS, SHOTS = 3, 5, 5
FIRST_SEED = 9_600
SHELL_VOXELS = 2
ELLIPSOID = (1.4, 1.0, 0.714)
INVENTED = 2**41 + 3000  # without maps: complexes that pretraining does not draw

Points = NDArray[np.float64]


def ball_of(density: Tensor) -> Tensor:
    """Return a ball of the mass of a density, at the mean density of its solid part."""
    return _solid(density, (1.0, 1.0, 1.0))


def ellipsoid_of(density: Tensor) -> Tensor:
    """Return an ellipsoid of three different axes, of the mass and the mean density of a density."""
    return _solid(density, ELLIPSOID)


def _solid(density: Tensor, ratio: tuple[float, float, float]) -> Tensor:
    filled = float(density[density > 0.5 * density.max()].mean())
    return rasterise(domain(mass_kda(density, SPACING), (0.0, 0.0, 0.0), ratio, density=filled), SPACING)


def shuffled(density: Tensor, seed: int) -> Tensor:
    """Turn every shell of a density ``(n, n, n)`` about its centre, each by a rotation of its own."""
    half = density.shape[0] // 2
    steps = torch.arange(-half, half + 1.0)
    shell = ((steps[:, None, None] ** 2 + steps[:, None] ** 2 + steps**2).sqrt() / SHELL_VOXELS).long()
    count = min(int(shell.max()), math.ceil(half / SHELL_VOXELS)) + 1
    turned = turned_copies(density, random_rotations(count, torch.Generator().manual_seed(seed)))
    mixed = sum((torch.where(shell == k, turned[k], 0.0) for k in range(count)), torch.zeros_like(density))
    return centred(mixed)


def decoys_of(name: str, density: Tensor) -> dict[str, Tensor]:
    """Return the three decoys of a complex."""
    return {
        f"{name} ball": ball_of(density), f"{name} ellipsoid": ellipsoid_of(density),
        f"{name} shuffled": shuffled(density, seed=sum(map(ord, name))),
    }  # fmt: skip


def complexes(maps: Path | None) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Return the densities of the complexes, and their radii in Å."""
    if maps is None:
        densities = {f"invented-{k}": random_assembly(INVENTED + k, SPACING, (300.0, 2600.0)) for k in range(6)}
        return densities, {name: bounding_radius(density, SPACING) for name, density in densities.items()}
    radii = dict(UNSEEN)
    return {
        name: load_density(maps / f"{name}.mrc", SPACING, hollow_radius=HOLLOW.get(name, 0.0)) for name in radii
    }, radii


def off_decoys(picks: Picks, decoys_xyz: Points, radius: float) -> Picks:
    """Leave out picks that lie on decoys."""
    kept = cKDTree(decoys_xyz).query(picks.points_xyz)[0] > radius / 2
    return Picks(picks.points_xyz[kept], picks.scores[kept])


def both_precisions(
    truth: dict[str, Points], found: dict[str, Picks], decoys: dict[str, Points], radius: float
) -> tuple[float, float]:
    """Average precision with decoys among the finds, and without."""
    without = {run: off_decoys(picks, decoys[run], radius) for run, picks in found.items()}
    with_them, left_out = (score_ranking(truth, each, radius)["average_precision"] for each in (found, without))
    return float(with_them), float(left_out)


def main() -> None:
    """Simulate, search, match, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, help="folder of density maps named after their PDB entries")
    parser.add_argument("--encoder", nargs="*", default=["shipped"])
    parser.add_argument("--regimes", nargs="*", default=list(PURIFIED), choices=STANDARD)
    parser.add_argument("--no-templates", action="store_true", help="leave out template matching (24 s for each map)")
    arguments = parser.parse_args()
    densities, radii = complexes(arguments.maps)
    fakes = {fake: each for name, density in densities.items() for fake, each in decoys_of(name, density).items()}
    counts = dict.fromkeys(densities, PER_CLASS) | dict.fromkeys(fakes, PER_DECOY)
    print(f"| | decoys | {' | '.join(radii)} | mean |", "|---" * (len(radii) + 3) + "|", sep="\n")
    for regime in arguments.regimes:
        seeds = range(FIRST_SEED, FIRST_SEED + NUM_TOMOGRAMS)
        simulated = simulate_regime(REGIMES[regime], densities | fakes, counts, seeds)
        runs = {f"{regime}_{k}": each for k, each in enumerate(simulated)}
        for encoder in arguments.encoder:
            show(f"{encoder}, {regime}", search_all(encoder, runs, radii))
        if not arguments.no_templates:
            show(f"templates, {regime}", match_all(densities, runs, radii))


def decoys_in(simulated: SimulatedTomogram, names: dict[str, float]) -> Points:
    """Return ``(n, 3)`` Å: the places of all decoys."""
    return np.concatenate([points for key, points in simulated.points.items() if key not in names])


def search_all(
    encoder: str, runs: dict[str, SimulatedTomogram], radii: dict[str, float]
) -> dict[str, list[tuple[float, float]]]:
    """Search every class from examples in each tomogram in the others."""
    decoys = {run: decoys_in(simulated, radii) for run, simulated in runs.items()}
    result: dict[str, list[tuple[float, float]]] = {name: [] for name in radii}
    with tempfile.TemporaryDirectory() as folder:
        index = Index.create(Path(folder) / "index", encoder)
        for run, simulated in runs.items():
            index.add(Tomogram.from_array(simulated.full.numpy(), SPACING, run=run))
        trials = [(name, run, seed) for name in radii for run in runs for seed in range(NUM_DRAWS)]
        for name, run, seed in progress(trials, "search among decoys", "search"):
            chosen = draw_examples(runs[run].points[name], list(runs).index(run), SHOTS, seed)
            truth = {other: each.points[name] for other, each in runs.items() if other != run}
            found = search(
                index, read_examples(index, chosen, run), radius_angstrom=radii[name], runs=list(truth),
                threshold=LOWEST_SCORE, max_picks=MOST_CANDIDATES,
            )  # fmt: skip
            result[name].append(both_precisions(truth, found.by_run, decoys, radii[name]))
    return result


def match_all(
    densities: dict[str, Tensor], runs: dict[str, SimulatedTomogram], radii: dict[str, float]
) -> dict[str, list[tuple[float, float]]]:
    """Search every class with its true map."""
    decoys = {run: decoys_in(simulated, radii) for run, simulated in runs.items()}
    result = {}
    for name, density in densities.items():
        found = {}
        for run, simulated in runs.items():
            likeness = likeness_to(density, simulated, SPACING, torch.device("cpu"))
            found[run] = peaks_of(likeness.numpy(), radii[name], SPACING, stride=1)
        truth = {run: simulated.points[name] for run, simulated in runs.items()}
        result[name] = [both_precisions(truth, found, decoys, radii[name])]
    return result


def show(name: str, result: dict[str, list[tuple[float, float]]]) -> None:
    """Print two rows: with decoys and without."""
    means = np.array([np.mean(pairs, axis=0) for pairs in result.values()])  # classes, 2
    for column, label in enumerate(("with", "without")):
        cells = [f"{value:.2f}" for value in (*means[:, column], means[:, column].mean())]
        print(f"| {name} | {label} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
