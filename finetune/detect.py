"""From a tomogram to scored points of every class.

Letters: b tiles, c classes, z y x voxels or cells.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from finetune.decoder import HEATMAP_STRIDE
from tomoseek.errors import InputError
from tomoseek.geometry import angstrom_to_cells, cell_to_voxel, clip_inside, indices_to_points
from tomoseek.picks.conflicts import rival_pairs, winners
from tomoseek.picks.peaks import find_peaks
from tomoseek.picks.points import Picks
from tomoseek.running import autocast
from tomoseek.tomograms.tiling import Window, predict_tiled
from tomoseek.tomograms.tomogram import Tomogram

MAX_PEAKS = 5000
FLIPS: tuple[list[int], ...] = ([], [3], [4], [3, 4])  # of b, c, z, y, x: about y, x, both; as trained


@dataclass(kw_only=True, slots=True)
class DetectConfig:
    """How a whole tomogram is covered and peaks are taken."""

    tile: list[int]
    overlap: int
    batch_size: int
    flips: bool
    min_score: float
    suppression: float

    def __post_init__(self) -> None:
        if len(self.tile) != 3 or any(n <= 0 or n % 8 for n in self.tile):
            raise InputError(f"detect.tile: expected three multiples of 8 [z,y,x], found {self.tile}")
        if not 0 < self.min_score < 1:
            raise InputError(f"detect.min_score: expected between 0 and 1, found {self.min_score}")


def find_particles(
    tomogram: Tomogram, picker: nn.Module, radii: dict[str, float], config: DetectConfig, device: torch.device,
    progress: bool = True,
) -> dict[str, Picks]:  # fmt: skip
    """Return each class's candidates of heatmap value ``min_score`` and more, best first; scores are these values.

    Parameters
    ----------
    tomogram
        Volume to search.
    picker
        Trained network, or several as one, on ``device``, in eval mode.
    radii
        Class name to radius in Å, in the order of the network's heatmaps.
    config
        Tiles, test-time flips and peaks.
    device
        Where the network runs.
    progress
        Whether to show progress over the tiles.
    """

    def score(volume: Tensor) -> Tensor:
        with torch.inference_mode(), autocast(device):
            views = FLIPS if config.flips else FLIPS[:1]
            total = torch.zeros(())
            for axes in views:
                heatmap = torch.sigmoid(picker(volume.flip(axes)).float()).flip(axes)  # (b, c, z, y, x)
                total = total.to(heatmap) + heatmap
            return total / len(views)

    counting = tomogram.counting_cells(HEATMAP_STRIDE)
    window = None if counting is None else Window(tomogram, counting, HEATMAP_STRIDE)
    heatmaps = predict_tiled(
        window or tomogram, score, tile=(config.tile[0], config.tile[1], config.tile[2]), overlap=config.overlap,
        stride=HEATMAP_STRIDE, num_channels=len(radii), batch_size=config.batch_size, device=device,
        progress=progress, dtype=np.float32,
    )  # fmt: skip
    if window is not None and counting is not None:
        heatmaps[:, ~counting[window.cells]] = 0
    found = {}
    for heatmap, (name, radius) in zip(heatmaps, radii.items(), strict=True):
        cells, scores = find_peaks(
            heatmap,
            radius_cells=angstrom_to_cells(config.suppression * radius, tomogram.voxel_spacing, HEATMAP_STRIDE),
            threshold=config.min_score,
            max_peaks=MAX_PEAKS,
        )
        cells = cells + (0 if window is None else window.first_cell)
        points = indices_to_points(cell_to_voxel(cells, HEATMAP_STRIDE), tomogram.voxel_spacing)
        found[name] = Picks(clip_inside(points, tomogram.stored.shape, tomogram.stored.voxel_spacing), scores)
    return found


def keep_above(candidates: dict[str, Picks], thresholds: Mapping[str, float]) -> dict[str, Picks]:
    """Keep each class's candidates that reach its threshold."""
    return {name: _only(picks, picks.scores >= thresholds[name]) for name, picks in candidates.items()}


def one_per_site(picks: dict[str, Picks], radii: dict[str, float]) -> dict[str, Picks]:
    """Of picks of different classes in one place, keep the most probable.

    One place is within half the sum of the radii. This makes a set of picks without look-alikes, and costs recall
    where two classes cannot be told apart: then the true one loses the place as often as not.

    Parameters
    ----------
    picks
        Class to picks of one run, scored by probability, which alone compares between classes.
    radii
        Class to radius, Å.
    """
    owner = np.repeat(np.arange(len(picks)), [len(each) for each in picks.values()])  # (n,)
    sizes = np.array([radii[name] for name in picks])
    points = np.concatenate([each.points_xyz for each in picks.values()])  # (n, 3) x y z
    scores = np.concatenate([each.scores for each in picks.values()])  # (n,)
    stays = winners(rival_pairs(points, owner, sizes[owner]), -scores) < 0
    return {name: _only(each, stays[owner == number]) for number, (name, each) in enumerate(picks.items())}


def _only(picks: Picks, kept: NDArray[np.bool_]) -> Picks:
    return Picks(picks.points_xyz[kept], picks.scores[kept])
