"""Tomograms inside a copick project: find the one asked for, add one."""

import os
import shutil
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoseek.config import DataConfig
from tomoseek.errors import InputError
from tomoseek.failures import Failures
from tomoseek.geometry import is_same_spacing
from tomoseek.messages import listed, warn, warn_once
from tomoseek.tomograms.opening import warn_of_spacing
from tomoseek.tomograms.project import check_name, open_project
from tomoseek.tomograms.project_config import local_path
from tomoseek.tomograms.remote import reaching, remote_place, remote_store
from tomoseek.tomograms.segmentations import chosen_part
from tomoseek.tomograms.tomogram import Tomogram
from tomoseek.tomograms.volume_files import check_cubic, is_cubic, write_ome_zarr
from tomoseek.tomograms.zarr_levels import open_level


def find_tomograms(data: DataConfig, failures: Failures | None = None) -> list[Tomogram]:
    """List the tomograms a command is asked to read, one per run, in the order of ``data.runs`` or by name.

    Parameters
    ----------
    data
        Project, runs (None: all), tomogram type, voxel spacing (None: the only one that has the type),
        polarity.
    failures
        Takes what is wrong with single runs, which are left out; None raises at the first.

    Raises
    ------
    InputError
        When the project, a run, the tomogram type or the voxel spacing is not there; the message lists what
        is.
    """
    root = open_project(data.project)
    return tomograms_of(root, data, failures)


def choose_tomogram(run: Any, data: DataConfig) -> Any:
    """Return copick's tomogram of one run that ``data`` asks for.

    Raises
    ------
    InputError
        When the run has none of that type and voxel spacing, or more than one; the message lists what it has.
    """
    present = {
        spacing.voxel_size: {entry.tomo_type: entry for entry in spacing.tomograms}
        for spacing in sorted(run.voxel_spacings, key=lambda spacing: float(spacing.voxel_size))
    }
    present = {spacing: types for spacing, types in present.items() if types}
    if not present:
        raise InputError(
            f"expected a tomogram in run {run.name}, found an empty run: reconstruct it, or list the other "
            "runs in data.runs"
        )
    catalogue = "; ".join(f"{listed(sorted(types))} at {spacing:g} Å" for spacing, types in present.items())
    if data.voxel_spacing is not None:
        asked = data.voxel_spacing
        nearest = min(present, key=lambda spacing: abs(spacing - asked))
        if not is_same_spacing(asked, nearest):
            raise InputError(
                f"expected voxel spacing {asked:g} Å in run {run.name}, found {catalogue}: set data.voxel_spacing"
            )
        present = {nearest: present[nearest]}
    holding = [spacing for spacing, types in present.items() if data.tomogram_type in types]
    if not holding:
        raise InputError(
            f"expected tomogram type '{data.tomogram_type}' in run {run.name}, found {catalogue}: set "
            "data.tomogram_type"
        )
    if len(holding) > 1:
        raise InputError(
            f"expected one voxel spacing with type '{data.tomogram_type}' in run {run.name}, found "
            f"{catalogue}: set data.voxel_spacing"
        )
    return present[holding[0]][data.tomogram_type]


def locate_store(entry: Any) -> tuple[str, Any]:
    """Return what to call a copick tomogram's store, and what to open: its path when it is local."""
    config = entry.voxel_spacing.run.root.config
    path = str(entry.static_path if entry.read_only else entry.overlay_path)
    if entry.read_only and config.config_type == "cryoet_data_portal":
        return path, remote_store(path, path, {"anon": True})
    if entry.read_only and config.config_type != "filesystem":
        store = entry.zarr()
        return str(store.path), store
    is_static = entry.read_only and config.static_root is not None
    url, fs_args = (
        (config.static_root, config.static_fs_args) if is_static else (config.overlay_root, config.overlay_fs_args)
    )
    if local_path(url) is not None:
        return path, path  # a plain path can be sent to worker processes, copick's file system cannot
    return f"{url.partition('://')[0]}://{path.partition('://')[2] or path}", remote_store(url, path, fs_args or {})


def tomograms_of(root: Any, data: DataConfig, failures: Failures | None = None) -> list[Tomogram]:
    """List the tomograms of an open project, as `find_tomograms` does.

    Raises
    ------
    InputError
        As there.
    """
    with reaching(remote_place(root)):
        return _tomograms_of(root, data, failures)


def _tomograms_of(root: Any, data: DataConfig, failures: Failures | None) -> list[Tomogram]:
    runs = {run.name: run for run in root.runs}
    if not runs:
        raise InputError(f"expected runs in {data.project}, found none: check its static_root and overlay_root")
    names = sorted(runs) if data.runs is None else list(dict.fromkeys(data.runs))
    if not names:
        raise InputError("expected at least one run in data.runs, found an empty list: leave it out to use all runs")
    unknown = [name for name in names if name not in runs]
    if unknown:
        raise InputError(
            f"expected runs among {listed(sorted(runs))}, found {listed(sorted(unknown))} in data.runs: check the names"
        )
    found = []
    for name in names:
        with failures.of(name) if failures is not None else nullcontext():
            found.append(_open_copick(runs[name], data))
    return found


def _open_copick(run: Any, data: DataConfig) -> Tomogram:
    """Open the tomogram of one run that ``data`` asks for."""
    entry = choose_tomogram(run, data)
    spacing = float(entry.voxel_spacing.voxel_size)
    source, store = locate_store(entry)
    array, sides = open_level(store, source)
    if sides is not None and data.voxel_spacing is None:
        check_cubic(sides, source)
    elif sides is not None and not is_cubic(sides):
        sides = None  # whoever gave the spacing knows better
    if sides is not None and not is_same_spacing(float(sides.mean()), spacing):
        warn_once(f"{source} says {sides.mean():g} Å per voxel; copick's {spacing:g} Å is used")
        sides = None
    if data.voxel_spacing is None:
        warn_of_spacing(spacing, source, "import it again with voxel_spacing=... in Å")
    return Tomogram(
        run=run.name, tomogram_type=data.tomogram_type, voxel_spacing=spacing if sides is None else float(sides.mean()),
        array=array, polarity=data.polarity, source=source, part=chosen_part(run, data.mask),
    )  # fmt: skip


def add_tomogram(root: Any, run: str, tomogram_type: str, voxel_spacing: float, volume: NDArray[np.generic]) -> Path:
    """Write a tomogram into a project as a multiscale OME-Zarr, replacing one of the same type.

    The volume is written under a hidden name and renamed when complete, so that no reader sees half of it.

    Parameters
    ----------
    root
        Copick project with a local static root.
    run, tomogram_type
        Names of the run (created when new) and of the kind of reconstruction.
    voxel_spacing
        Å per voxel.
    volume
        ``(z, y, x)``; integers and float16 keep their type, all else is stored as float32.

    Returns
    -------
    The folder of the OME-Zarr.

    Raises
    ------
    InputError
        When the volume is not three-dimensional or all NaN, a name is not one copick accepts, or the static
        root is remote or cannot be written.
    """
    check_name(tomogram_type, "tomogram type")
    if run != run.strip() or not run or "/" in run or run.startswith("."):
        raise InputError(f"expected a run name without slashes, found '{run}': rename the run")
    if not voxel_spacing > 0:
        raise InputError(f"expected a voxel spacing above 0 Å, found {voxel_spacing}: give the voxel spacing")
    values = np.asarray(volume)
    if values.ndim != 3:
        raise InputError(f"expected a volume of 3 axes (z y x), found shape {values.shape}: give one tomogram")
    if not np.issubdtype(values.dtype, np.integer) and values.dtype != np.float16:
        values = values.astype(np.float32, copy=False)
    if not np.isfinite(values.sum(dtype=np.float64)):
        num_bad = sum(int((~np.isfinite(plane)).sum()) for plane in values)
        if num_bad == values.size:
            raise InputError(f"expected finite values for {run}/{tomogram_type}, found NaN or infinity alone")
        if num_bad:
            warn(f"{run}/{tomogram_type}: {num_bad} voxels are NaN or infinite, which count as background")
    if local_path(root.config.static_root or root.config.overlay_root) is None:
        raise InputError(f"expected a project on a local disk, found {root.config.static_root}: add tomograms locally")
    parent = Path(root.root_static) / "ExperimentRuns" / run / f"VoxelSpacing{voxel_spacing:.3f}"
    final = parent / f"{tomogram_type}.zarr"
    try:
        _write_zarr(final, values, voxel_spacing, tomogram_type)
    except OSError as error:
        raise InputError(f"expected to write a tomogram to {final}, found {error}: make room or give access") from error
    root.refresh()
    return final


def _write_zarr(final: Path, values: NDArray[np.generic], voxel_spacing: float, tomogram_type: str) -> None:
    """Write an OME-Zarr beside its place, then put it there."""
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{tomogram_type}-", dir=final.parent))
    try:
        write_ome_zarr(partial, values, voxel_spacing, tomogram_type)
        partial.chmod(0o755)  # mkdtemp leaves the folder to its owner alone
        if final.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{tomogram_type}-", dir=final.parent))
            os.replace(final, old / final.name)
            os.replace(partial, final)
            shutil.rmtree(old)
        else:
            os.replace(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
