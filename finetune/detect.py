"""From a tomogram to scored points of every class.

Letters: b tiles, c classes, z y x voxels or cells.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from finetune.decoder import Picker
from finetune.targets import STRIDE
from tomoseek.errors import InputError
from tomoseek.geometry import cell_to_voxel, indices_to_points
from tomoseek.peaks import find_peaks
from tomoseek.picks import Picks
from tomoseek.tiling import predict_tiled
from tomoseek.tomograms import Tomogram
from tomoseek.training import autocast

MAX_PEAKS = 5000


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
    tomogram: Tomogram, picker: Picker, radii: dict[str, float], config: DetectConfig, device: torch.device,
    progress: bool = True,
) -> dict[str, Picks]:  # fmt: skip
    """Return each class's candidates of score ``min_score`` and more, best first.

    Parameters
    ----------
    tomogram
        Volume to search.
    picker
        Trained network, on ``device``, in eval mode.
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
            if not config.flips:
                return torch.sigmoid(picker(volume).float())  # (b, c, z, y, x)
            views = [[], [3], [4], [3, 4]]
            return torch.stack([torch.sigmoid(picker(volume.flip(axes)).float()).flip(axes) for axes in views]).mean(
                0
            )  # (b, c, z, y, x)

    heatmaps = predict_tiled(
        tomogram, score, tile=(config.tile[0], config.tile[1], config.tile[2]), overlap=config.overlap,
        stride=STRIDE, num_channels=len(radii), batch_size=config.batch_size, device=device,
        progress=progress, dtype=np.float32,
    )  # fmt: skip
    found = {}
    for heatmap, (name, radius) in zip(heatmaps, radii.items(), strict=True):
        cells, scores = find_peaks(
            heatmap, radius_cells=config.suppression * radius / (tomogram.voxel_spacing * STRIDE),
            threshold=config.min_score, max_peaks=MAX_PEAKS,
        )  # fmt: skip
        # The last cell of an odd axis is half outside the volume.
        indices = np.clip(cell_to_voxel(cells, STRIDE), 0, np.array(tomogram.shape) - 1)
        found[name] = Picks(indices_to_points(indices, tomogram.voxel_spacing), scores)
    return found


def keep_above(candidates: dict[str, Picks], thresholds: dict[str, float]) -> dict[str, Picks]:
    """Keep each class's candidates that reach its threshold."""
    return {
        name: Picks(picks.points_xyz[picks.scores >= thresholds[name]], picks.scores[picks.scores >= thresholds[name]])
        for name, picks in candidates.items()
    }
