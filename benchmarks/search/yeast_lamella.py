"""Does a search find ribosomes in real cytoplasm? Half of a yeast lamella, beside a blob filter and random weights.

    python -m benchmarks.search.yeast_lamella --data ../shared/data/real/yeast80S
    python -m benchmarks.search.yeast_lamella --data ../shared/data/real/yeast80S --encoder shipped --spacings 10

Five references are examples; they and the finds on them are left out. The reference is a cleaned list, so a find that
hits none may still be right: scored is the share of references hit by the first N, 2N and 4N finds, N being their
number. Prints Markdown, mean and spread over the draws of examples.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from embed import Index
from tomoseek import Tomogram, open_tomogram
from tomoseek.geometry import angstrom_to_cells, indices_to_points
from tomoseek.picks.peaks import find_peaks
from tomoseek.picks.tables import read_points_csv

RADIUS = HIT = 150.0  # Å
NUM_EXAMPLES = 5
BLOB_SIGMAS = (2.0, 3.2)  # voxels of 31 Å
MULTIPLES = (1, 2, 4)
RUN = "lamella_a"

Points = NDArray[np.float64]


def recalls(found_xyz: Points, truth_xyz: Points, examples_xyz: Points) -> list[float]:
    """Share of the references, less the examples, hit by the first N, 2N and 4N finds, best first."""
    left = truth_xyz[cKDTree(examples_xyz).query(truth_xyz)[0] > 1.0]
    others = found_xyz[cKDTree(examples_xyz).query(found_xyz)[0] > HIT]
    return [float(np.mean(cKDTree(others[: k * len(left)]).query(left)[0] <= HIT)) for k in MULTIPLES]


def blobs(lamella: Tomogram) -> Points:
    """Peaks ``(n, 3)`` of a difference of Gaussians, best first."""
    volume = -lamella.read()  # protein positive
    smooth, smoother = (ndimage.gaussian_filter(volume, sigma) for sigma in BLOB_SIGMAS)
    cells, _ = find_peaks(
        smooth - smoother, radius_cells=angstrom_to_cells(RADIUS, lamella.voxel_spacing), threshold=0.0
    )
    return indices_to_points(cells, lamella.voxel_spacing)


def searched(lamella: Tomogram, encoder: str, spacing: float, draws: list[Points]) -> Iterator[Points]:
    """Finds ``(n, 3)`` of each draw of examples, in the tomogram brought to voxels of ``spacing`` Å."""
    with tempfile.TemporaryDirectory() as folder:
        index = Index.create(Path(folder) / "index", encoder=encoder, resample=spacing)
        index.add(lamella)
        for examples in draws:
            found = index.search({RUN: examples}, radius=RADIUS, threshold=0.0, max_picks=2000)
            yield found.by_run[RUN].points_xyz


def row(name: str, figures: list[list[float]]) -> str:
    """Mean and spread over the draws."""
    table = np.array(figures)
    cells = [f"{mean:.2f} ± {spread:.2f}" for mean, spread in zip(table.mean(0), table.std(0), strict=True)]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Search, score, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of lamella_a.mrc and ribosomes.csv")
    parser.add_argument("--encoder", nargs="*", default=["shipped", "random-small"])
    parser.add_argument("--spacings", nargs="*", type=float, default=[31.36, 15.68, 10.0], help="Å per voxel")
    parser.add_argument("--seeds", type=int, default=3, help="draws of examples")
    arguments = parser.parse_args()
    lamella = open_tomogram(arguments.data / f"{RUN}.mrc")
    truth = read_points_csv(arguments.data / "ribosomes.csv")[RUN].points_xyz
    draws = [
        truth[np.random.default_rng(seed).choice(len(truth), NUM_EXAMPLES, replace=False)]
        for seed in range(arguments.seeds)
    ]
    print("| method | among the first N | 2N | 4N |", "|---" * 4 + "|", sep="\n")
    peaks = blobs(lamella)
    print(row("difference of Gaussians, no example", [recalls(peaks, truth, examples) for examples in draws]))
    for encoder in arguments.encoder:
        for spacing in arguments.spacings:
            found = searched(lamella, encoder, spacing, draws)
            figures = [recalls(points, truth, examples) for points, examples in zip(found, draws, strict=True)]
            print(row(f"{encoder}, voxels of {spacing:g} Å", figures), flush=True)


if __name__ == "__main__":
    main()
