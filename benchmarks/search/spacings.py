"""One specimen imaged at many voxel spacings: is it found as well, and as exactly, as at the encoder's own?

    python -m benchmarks.search.spacings --maps ../shared/data/maps

Tomograms are simulated with voxels of 5 Å and binned in Fourier space, as laboratories do, so that every spacing shows
the same particles and the same noise. Five examples of one tomogram are searched for in the others, by turns; every
class. Each spacing is searched as it is, and brought to the encoder's (`tomoseek.tomograms.resample`). The error is
the median distance of the right finds from their particles. Prints Markdown.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample
from scipy.spatial import cKDTree

from benchmarks.known_tomograms import DEVELOPMENT, HOLLOW, PURIFIED, REGIMES, UNSEEN, draw_examples
from embed import Index
from tomoseek import Tomogram
from tomoseek.evaluation.ranking import score_ranking
from tomoseek.picks.points import Picks
from tomoseek.simulate import MicroscopeConfig, SceneConfig, SimulatedTomogram, load_density, simulate_tomogram

FINEST = 5.0  # Å
SPACINGS = (5.0, 7.84, 10.0, 13.48, 15.7, 20.0, 31.4)  # Å
SHAPE = (128, 384, 384)  # voxels of 5 Å
NUM_TOMOGRAMS, PER_CLASS, SHOTS = 3, 12, 5

Truth = list[dict[str, NDArray[np.float64]]]


def simulate(regime: str, maps: Path, radii: dict[str, float]) -> list[SimulatedTomogram]:
    """Simulate tomograms with the finest voxels, as bright or dim as those of `REGIMES` are at 10 Å."""
    densities = {
        key: load_density(maps / f"{key}.mrc", FINEST, hollow_radius=HOLLOW.get(key, 0.0)) for key in radii
    }  # fmt: skip
    finer = (FINEST / REGIMES[regime].voxel_spacing) ** 2  # a pixel of half the width holds a quarter of the electrons
    microscope = MicroscopeConfig(snr=[value * finer for value in REGIMES[regime].snr])
    scene = SceneConfig(shape=list(SHAPE), voxel_spacing=FINEST)
    counts = dict.fromkeys(densities, PER_CLASS)
    return [simulate_tomogram(densities, counts, scene, microscope, 9_500 + seed) for seed in range(NUM_TOMOGRAMS)]


def binned(volume: NDArray[np.float32], spacing: float) -> tuple[NDArray[np.float32], float]:
    """Crop in Fourier space to voxels of about ``spacing`` Å; return the volume and its exact spacing."""
    sizes = [round(n * FINEST / spacing) for n in volume.shape]
    exact = FINEST * volume.shape[2] / sizes[2]
    sizes = [round(n * FINEST / exact) for n in volume.shape]
    padded = volume
    for axis, size in enumerate(sizes):
        if size != padded.shape[axis]:
            length = round(size * exact / FINEST)  # the part of the axis that makes whole voxels
            padded = resample(np.take(padded, range(min(length, padded.shape[axis])), axis), size, axis=axis)
    return np.asarray(padded, dtype=np.float32), exact


def search_all(tomograms: list[Tomogram], truth: Truth, radii: dict[str, float], how: str | None) -> tuple[float, ...]:
    """Embed, search for every class from every tomogram; average precision and error in Å."""
    scores, errors = [], []
    with tempfile.TemporaryDirectory() as folder:
        index = Index.create(Path(folder) / "index", resample=how)
        for tomogram in tomograms:
            index.add(tomogram, progress=False)
        runs = [tomogram.run for tomogram in tomograms]
        for key, radius in radii.items():
            for support, run in enumerate(runs):
                examples = draw_examples(truth[support][key], support, SHOTS, 0)
                others = {name: truth[k][key] for k, name in enumerate(runs) if k != support}
                found = index.search({run: examples}, radius=radius, runs=list(others), threshold=0.3)
                scores.append(score_ranking(others, found.by_run, radius)["average_precision"])
                errors.append(distances(others, found.by_run, radius))
    return float(np.mean(scores)), float(np.median(np.concatenate(errors)))


def distances(truth: dict[str, NDArray[np.float64]], picks: dict[str, Picks], radius: float) -> NDArray[np.float64]:
    """Å from each particle ``(n,)`` to the find nearest to it, of those that were found."""
    parts = []
    for run, points in truth.items():
        if len(picks[run]) and len(points):
            nearest = cKDTree(picks[run].points_xyz).query(points)[0]
            parts.append(nearest[nearest <= radius / 2])
    return np.concatenate([*parts, np.zeros(0)])


def main() -> None:
    """Simulate, bin, search, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, required=True, help="folder of density maps named after their PDB entries")
    parser.add_argument("--development", action="store_true", help="other complexes, to develop on")
    arguments = parser.parse_args()
    radii = DEVELOPMENT if arguments.development else UNSEEN
    print(
        "| tomograms | Å per voxel | AP, as it is | error, Å | AP, resampled to 10 Å | error, Å |",
        "|---" * 6 + "|",
        sep="\n",
    )
    for regime in PURIFIED:
        simulated = simulate(regime, arguments.maps, radii)
        truth = [{key: tomogram.points[key] for key in radii} for tomogram in simulated]
        for spacing in SPACINGS:
            volumes = [binned(tomogram.full.numpy(), spacing) for tomogram in simulated]
            tomograms = [Tomogram.from_array(v, exact, run=f"{k}") for k, (v, exact) in enumerate(volumes)]
            cells = []
            for how in (None, 10.0):
                cells += [f"{value:.2f}" for value in search_all(tomograms, truth, radii, how)]
            print(f"| {regime} | {volumes[0][1]:.2f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
