"""Real input: five points on the wall of one microtubule query another tomogram.

    python -m benchmarks.search.microtubules --data ../shared/data/real --encoder runs/metric --out-dir mt

Two real sub-tomograms of 10.52 Å voxels hold one microtubule each. They become a copick project, an encoder
embeds them, five points on the wall of the first query the second. Leaves the project, the index,
``microtubules.png`` and ``microtubules.json`` in ``--out-dir``.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from embed.examples import read_examples
from embed.index import Index
from embed.prototype import Prototype
from embed.score_map import similarity_map
from embed.search import search
from tomoseek.complexes import Complex
from tomoseek.config import DataConfig, Polarity
from tomoseek.files import atomic_write_json
from tomoseek.geometry import cell_to_voxel, indices_to_points, points_to_indices, voxel_to_cell
from tomoseek.network.weights import fingerprint, load_encoder
from tomoseek.picks.copick_picks import write_picks
from tomoseek.picks.points import Picks
from tomoseek.running import pick_device
from tomoseek.tomograms.copick_tomograms import add_tomogram, find_tomograms
from tomoseek.tomograms.opening import open_tiff
from tomoseek.tomograms.project import create_project
from tomoseek.tomograms.tomogram import Tomogram

matplotlib.use("Agg")
from matplotlib import pyplot

VOXEL_SPACING = 10.52
NAME, RADIUS = "microtubule-wall", 40.0
WALL_TOLERANCE = 40.0

# Protein is bright in these files (their history ends in "_inv"; the walls are the brightest structures).
POLARITY = Polarity.bright


@dataclass(frozen=True)
class Microtubule:
    """A straight tube in voxels, fitted to the mean of the volume along it; it tells wall from background.

    Parameters
    ----------
    z
        Height of the axis, which is level.
    x_first, x_last
        Where the axis crosses the first and the last row (y) of the volume.
    radius
        From the axis to the middle of the wall.
    """

    run: str
    file: str
    z: float
    x_first: float
    x_last: float
    radius: float

    def distance_to_wall(self, indices_zyx: NDArray[Any], num_rows: int) -> NDArray[np.float64]:
        """Distance of ``(n, 3)`` voxel indices to the middle of the wall, in Å."""
        slope = (self.x_last - self.x_first) / (num_rows - 1)
        z, y, x = indices_zyx.T
        across = (x - self.x_first - slope * y) / np.hypot(1, slope)
        return np.asarray(np.abs(np.hypot(z - self.z, across) - self.radius) * VOXEL_SPACING)


EXAMPLE_TUBE = Microtubule("mt-13pf", "13pf_MT.tif", 17.0, 84.5, 19.2, 10.7)
SEARCHED_TUBE = Microtubule("mt-14pf", "14pf_MT.tif", 23.0, 65.9, 26.5, 11.4)

# On the left wall of the 13-protofilament microtubule, in a slice near its axis, where the wall is sharpest.
# Rows 35 voxels apart; along each the x of the brightest voxel after a Gaussian of 1.5, 3, 0.8 voxels (z, y, x).
EXAMPLE_INDICES = np.array([(18, 30, 64), (18, 65, 52), (18, 100, 42), (18, 135, 31), (18, 170, 19)], dtype=float)


def make_project(data: Path, folder: Path) -> None:
    """Write both TIFF volumes into a copick project."""
    root = create_project(folder, [Complex(name=NAME, radius_angstrom=RADIUS)], name="microtubules")
    for tube in (EXAMPLE_TUBE, SEARCHED_TUBE):
        volume = open_tiff(data / tube.file, VOXEL_SPACING, POLARITY).read()
        add_tomogram(root, tube.run, "wbp", VOXEL_SPACING, volume)


def wall_shares(tube: Microtubule, picks: Picks, tomogram: Tomogram) -> dict[str, float]:
    """Count picks on the wall, and how much of the volume is wall: what picking at random would give."""
    num_rows = tomogram.shape[1]
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in tomogram.shape], indexing="ij"), -1).reshape(-1, 3)
    chance = (tube.distance_to_wall(grid, num_rows) <= WALL_TOLERANCE).mean()
    indices = points_to_indices(picks.points_xyz, VOXEL_SPACING)
    on_wall = tube.distance_to_wall(indices, num_rows) <= WALL_TOLERANCE
    first = on_wall[:20]  # picks come best first
    return {
        "num_picks": len(picks),
        "share_on_wall": round(float(on_wall.mean()), 4) if len(picks) else 0.0,
        "share_of_best_20_on_wall": round(float(first.mean()), 4) if len(first) else 0.0,
        "share_of_volume_on_wall": round(float(chance), 4),
    }


def dense_scores(index: Index, run: str, prototype: Prototype) -> NDArray[np.float32]:
    """Score every cell of a run: ``(z, y, x)``."""
    shard = index.shard(run)
    return similarity_map(shard, prototype, -1e6, -np.inf, len(shard))[1]


def draw(tomograms: dict[str, Tomogram], scores: dict[str, NDArray[np.float32]], picks: dict[str, Picks],
         threshold: float, encoder: str, path: Path) -> None:  # fmt: skip
    """Draw slice, slice with points, similarity and score distribution of both tomograms, a row each."""
    figure, axes = pyplot.subplots(2, 4, figsize=(15, 13), width_ratios=[1, 1, 1, 1.2], layout="constrained")
    figure.suptitle(f"Microtubule wall from five examples (encoder: {encoder})")
    examples = indices_to_points(EXAMPLE_INDICES, VOXEL_SPACING)
    for row, tube in zip(axes, (EXAMPLE_TUBE, SEARCHED_TUBE), strict=True):
        tomogram, score = tomograms[tube.run], scores[tube.run]
        plane = round(tube.z)
        image = tomogram.crop((0, 0, 0), tomogram.shape)[plane - 1 : plane + 2].mean(0)
        _, y, x = tomogram.shape
        extent = (-0.5, x - 0.5, y - 0.5, -0.5)
        for panel in row[:2]:
            panel.imshow(image, cmap="gray", vmin=-1.5, vmax=2.5, extent=extent)
        row[0].set_title(f"{tube.run}, slice z = {plane}\n(mean of 3, protein bright)")
        near = np.abs(points_to_indices(picks[tube.run].points_xyz, VOXEL_SPACING)[:, 0] - plane) <= 4
        if near.any():
            shown = points_to_indices(picks[tube.run].points_xyz[near], VOXEL_SPACING)
            style = {"cmap": "plasma", "vmin": 0, "vmax": 1, "edgecolors": "white", "linewidths": 0.8}
            values = picks[tube.run].scores[near]
            dots = row[1].scatter(shown[:, 2], shown[:, 1], c=values, s=45, label="pick", **style)
            figure.colorbar(dots, ax=row[1], label="score of pick", shrink=0.6)
        if tube is EXAMPLE_TUBE:
            given = points_to_indices(examples, VOXEL_SPACING)
            row[1].plot(given[:, 2], given[:, 1], "c+", markersize=16, markeredgewidth=2.5, label="example")
        row[1].legend(loc="upper left")
        row[1].set_title(f"the {int(near.sum())} of {len(picks[tube.run])} picks\nwithin 4 voxels of it")
        cell_plane = round(float(voxel_to_cell(np.array([[plane, 0, 0]]), 4)[0, 0]))
        corner, opposite = cell_to_voxel(np.array([(0, 0, 0), score.shape]) - 0.5, 4)
        mapped = row[2].imshow(score[cell_plane], cmap="magma", vmin=-0.5, vmax=1,
                               extent=(corner[2], opposite[2], opposite[1], corner[1]))  # fmt: skip
        row[2].set(title="likeness to the examples\n(stride 4)", xlim=extent[:2], ylim=extent[2:])
        figure.colorbar(mapped, ax=row[2], label="0 = background mean, 1 = mean example", shrink=0.6)
        cells = np.stack(np.meshgrid(*[np.arange(n) for n in score.shape], indexing="ij"), -1).reshape(-1, 3)
        wall = tube.distance_to_wall(cell_to_voxel(cells, 4), y) <= WALL_TOLERANCE / 2
        cell_scores, bins = score.ravel(), np.linspace(-1, 1.5, 60).tolist()
        row[3].hist(cell_scores[~wall], bins, density=True, alpha=0.6, color="gray", label="background and lumen")
        row[3].hist(cell_scores[wall], bins, density=True, alpha=0.6, color="tab:orange", label="wall (fitted tube)")
        row[3].axvline(threshold, color="k", linestyle=":", label="threshold of picks")
        row[3].set(title="score of every cell", xlabel="likeness", ylabel="density")
        row[3].legend()
        for panel in row[:3]:
            panel.set(xlabel="x (voxels)", ylabel="y (voxels)")
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/real"), help="folder of the two TIFF files")
    parser.add_argument("--encoder", default="random-small", help="name, folder or file of the encoder")
    parser.add_argument("--out-dir", type=Path, default=Path("microtubules"))
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()

    out: Path = arguments.out_dir
    make_project(arguments.data, out / "project")
    device = pick_device(arguments.device)
    config = DataConfig(
        project=str(out / "project"), runs=None, tomogram_type="wbp", voxel_spacing=None, polarity=POLARITY
    )
    tomograms = {tomogram.run: tomogram for tomogram in find_tomograms(config)}
    index = Index.create(
        out / f"index-{fingerprint(load_encoder(arguments.encoder))}", arguments.encoder, device=str(device)
    )
    for tomogram in tomograms.values():
        index.add(tomogram)

    points = indices_to_points(EXAMPLE_INDICES, VOXEL_SPACING)
    examples = read_examples(index, points, EXAMPLE_TUBE.run)
    found = search(index, examples, radius_angstrom=RADIUS)
    root = create_project(out / "project", [])
    for run, picks in found.by_run.items():
        write_picks(root, run, NAME, picks, "tomoseek", "search")
    scores = {run: dense_scores(index, run, found.prototype) for run in tomograms}
    shares = {
        tube.run: wall_shares(tube, found.by_run[tube.run], tomograms[tube.run])
        for tube in (EXAMPLE_TUBE, SEARCHED_TUBE)
    }
    record = {
        "encoder": arguments.encoder,
        "fingerprint": index.header.fingerprint,
        "examples": {"run": EXAMPLE_TUBE.run, "points_xyz": points.tolist()},
        "threshold": found.cutoff.threshold,
        "expected_precision": found.cutoff.precision,
        "leave_one_out_scores": found.leave_one_out.tolist(),
        "runs": shares,
    }
    atomic_write_json(out / "microtubules.json", record)
    draw(tomograms, scores, found.by_run, found.cutoff.threshold, arguments.encoder, out / "microtubules.png")
    for run, share in shares.items():
        print(f"{run}: {share}")
    print(out / "microtubules.png")


if __name__ == "__main__":
    main()
