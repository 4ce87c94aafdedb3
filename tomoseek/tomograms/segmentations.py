"""Segmentations of a copick project as parts of its tomograms."""

from typing import Any, Literal

import numpy as np

from tomoseek.errors import InputError
from tomoseek.messages import listed
from tomoseek.tomograms.part import Segmentation
from tomoseek.tomograms.zarr_levels import open_level

AUTO: Literal["auto"] = "auto"


def chosen_part(run: Any, mask: str | None) -> Segmentation | Literal["auto"] | None:
    """Return the part of a run's tomogram that ``data.mask`` means.

    Parameters
    ----------
    run
        Copick run.
    mask
        ``auto``, None, or a segmentation as ``name`` or ``name:user/session``.

    Raises
    ------
    InputError
        When the run has no such segmentation, more than one, or an empty one.
    """
    if mask is None:
        return None
    if mask == AUTO:
        return AUTO
    name, _, owner = mask.partition(":")
    user, _, session = owner.partition("/")
    found = [
        entry
        for entry in run.get_segmentations(name=name)
        if (not user or entry.user_id == user) and (not session or entry.session_id == session)
    ]
    present = sorted({f"{entry.name}:{entry.user_id}/{entry.session_id}" for entry in run.segmentations})
    if not found:
        raise InputError(
            f"data.mask: expected a segmentation '{mask}' of run {run.name}, found {listed(present)}: name one of "
            "these, or leave data.mask at auto"
        )
    if len({(entry.user_id, entry.session_id) for entry in found}) > 1:
        several = sorted(f"{name}:{entry.user_id}/{entry.session_id}" for entry in found)
        raise InputError(
            f"data.mask: expected one segmentation '{mask}' of run {run.name}, found {listed(several)}: say which"
        )
    finest = min(found, key=lambda entry: float(entry.voxel_size))
    array, _ = open_level(finest.zarr(), f"segmentation {mask} of run {run.name}")
    voxels = np.asarray(array[(slice(None),) * len(array.shape)]) != 0  # one byte a voxel, z y x
    if voxels.ndim != 3 or not voxels.any():
        raise InputError(
            f"data.mask: expected voxels that are not 0 in segmentation '{mask}' of run {run.name}, found none in "
            f"shape {voxels.shape}: choose another"
        )
    return Segmentation(voxels, float(finest.voxel_size), mask)
