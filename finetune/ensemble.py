"""Several trained pickers of the same classes as one: their evidence, each in its own calibration, is averaged.

Letters: m members, b tiles, c classes, z y x cells.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn

from finetune.calibration import Calibration, log_odds
from finetune.checkpoint import Description, load_checkpoint
from finetune.decoder import Picker
from tomoseek.errors import InputError
from tomoseek.geometry import is_same_spacing


class Ensemble(nn.Module):
    """Mean of the log odds that each member's calibration gives, told on the scale of the first one's heatmap.

    So one member gives its own heatmap, and peaks, least values and calibration are those of the first for any number.
    Members run one after the other on each tile: only one heatmap of the tomogram is ever held.

    Parameters
    ----------
    pickers
        Trained networks, the first of them the one whose scale is kept.
    calibrations
        Of each its calibration of every class.
    """

    slope: Tensor
    offset: Tensor

    def __init__(self, pickers: list[Picker], calibrations: list[list[Calibration]]) -> None:
        super().__init__()
        self.pickers = nn.ModuleList(pickers)
        slopes = torch.tensor([[each.slope for each in member] for member in calibrations])  # (m, c)
        offsets = torch.tensor([[each.offset for each in member] for member in calibrations])  # (m, c)
        self.register_buffer("slope", slopes / slopes[0])
        self.register_buffer("offset", (offsets - offsets[0]) / slopes[0])

    def forward(self, volume: Tensor) -> Tensor:
        """Return logits ``(b, c, z/2, y/2, x/2)`` for normalised crops ``(b, 1, z, y, x)``."""
        total = torch.zeros(())
        for picker, slope, offset in zip(self.pickers, self.slope, self.offset, strict=True):
            logits = picker(volume).float()  # (b, c, z/2, y/2, x/2)
            total = total.to(logits) + logits * slope[:, None, None, None] + offset[:, None, None, None]
        return total / len(self.pickers)


def load_ensemble(sources: list[str | Path], device: torch.device) -> tuple[nn.Module, Description]:
    """Read one or more checkpoints as one picker, in eval mode, and what describes it.

    The description is that of the first, but for the thresholds, the means of the members' log odds, and the runs
    seen, which are those that any member saw.

    Raises
    ------
    InputError
        If a file is missing or damaged, or classes, radii or voxel spacings differ.
    """
    pickers, descriptions = zip(*(load_checkpoint(source, device) for source in sources), strict=True)
    first = descriptions[0]
    if len(sources) == 1:
        return pickers[0], first
    for source, description in zip(sources[1:], descriptions[1:], strict=True):
        check_member(source, description, sources[0], first)
    calibrations = [[each.calibration[name] for name in each.radii] for each in descriptions]
    return Ensemble(list(pickers), calibrations).eval().to(device), join(list(descriptions))


def check_member(source: str | Path, description: Description, first_source: str | Path, first: Description) -> None:
    """Refuse a checkpoint whose heatmaps say something else than the first one's.

    Raises
    ------
    InputError
        If classes or their order, radii or voxel spacings differ.
    """
    if list(description.radii.items()) != list(first.radii.items()):  # heatmaps go by order
        expected, found = (", ".join(f"{k} ({v:g} Å)" for k, v in each.radii.items()) for each in (first, description))
        raise InputError(
            f"ensemble: expected the classes and radii of '{first_source}' in '{source}', in its order: {expected}, "
            f"found {found}; train with the same classes"
        )
    if not is_same_spacing(description.voxel_spacing, first.voxel_spacing):
        raise InputError(
            f"ensemble: expected '{source}' trained at the {first.voxel_spacing:g} Å per voxel of '{first_source}', "
            f"found {description.voxel_spacing:g} Å; train at one spacing"
        )


def join(descriptions: list[Description]) -> Description:
    """Describe an ensemble; see `load_ensemble`."""
    first = descriptions[0]
    return Description(
        radii=first.radii,
        thresholds=_mean_odds([each.thresholds for each in descriptions]),
        balanced=_mean_odds([each.balanced for each in descriptions if each.balanced]),
        threshold_runs=_united([each.threshold_runs for each in descriptions]),
        training_runs=_united([each.training_runs for each in descriptions]),
        voxel_spacing=first.voxel_spacing,
        model=first.model,
        decoder_channels=first.decoder_channels,
        provenance=first.provenance,
        calibration=first.calibration,
    )


def _mean_odds(thresholds: list[dict[str, float]]) -> dict[str, float]:
    """Average thresholds of each class by their log odds."""
    classes = list(thresholds[0]) if thresholds else []
    return {
        name: round(float(expit(np.mean([log_odds(each[name]) for each in thresholds]))), 6) for name in classes
    }  # fmt: skip


def _united(lists: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Every entry once, in order."""
    united: list[dict[str, Any]] = []
    for entry in (entry for entries in lists for entry in entries):
        if entry not in united:
            united.append(entry)
    return united
