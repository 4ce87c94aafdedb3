"""Tomograms read lazily, a region at a time, from copick projects, OME-Zarr, MRC and TIFF."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tomoseek.config import DataConfig, Polarity
from tomoseek.copick_volumes import add_tomogram, choose_tomogram, listed, locate_store
from tomoseek.errors import InputError
from tomoseek.geometry import SAME_SPACING
from tomoseek.normalise import Contrast, FloatVolume, Region, measure_contrast
from tomoseek.project import create_project, ensure_object, logger, object_radii, open_project
from tomoseek.volumes import map_mrc, map_tiff, open_level

__all__ = [
    "Tomogram",
    "add_tomogram",
    "create_project",
    "ensure_object",
    "find_tomograms",
    "object_radii",
    "open_mrc",
    "open_project",
    "open_tiff",
    "open_zarr",
]


class Tomogram:
    """One reconstruction of one run; nothing is read before a region is asked for.

    Parameters
    ----------
    run, tomogram_type
        Name of the run and kind of reconstruction.
    voxel_spacing
        Å per voxel.
    array
        ``(z, y, x)``; anything with ``shape`` that returns an array for a tuple of slices.
    polarity
        How protein looks in the stored values.
    source
        Where the voxels come from, for errors.
    """

    def __init__(
        self,
        *,
        run: str,
        tomogram_type: str,
        voxel_spacing: float,
        array: Any,
        polarity: Polarity,
        source: str,
    ) -> None:
        if len(array.shape) != 3 or min(array.shape) < 1:
            raise InputError(f"expected a volume of 3 axes (z y x) in {source}, found shape {tuple(array.shape)}")
        self.run = run
        self.tomogram_type = tomogram_type
        self.voxel_spacing = float(voxel_spacing)
        self.polarity = polarity
        self.source = source
        self._array = array

    def __repr__(self) -> str:
        return f"{self.run}/{self.tomogram_type} at {self.voxel_spacing:g} Å ({self.source})"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        z, y, x = self._array.shape
        return int(z), int(y), int(x)

    @cached_property
    def contrast(self) -> Contrast:
        """Background, spread and sign, measured on first use.

        Raises
        ------
        InputError
            When a sampled voxel is NaN, or the volume is constant.
        """
        return measure_contrast(self, self.polarity)

    def read(self, region: Region | None = None) -> FloatVolume:
        """Read stored values as float32.

        Parameters
        ----------
        region
            Slices z, y, x within the volume; None reads all of it.

        Raises
        ------
        InputError
            When the file cannot be decoded.
        """
        try:
            values = self._array[region if region is not None else (slice(None),) * 3]
        except (RuntimeError, OSError) as error:
            raise InputError(f"expected readable voxels in {self}, found {error}: the file is damaged") from error
        return np.array(values, dtype=np.float32)  # (z, y, x)

    def crop(self, start_zyx: Iterable[int], size_zyx: Iterable[int]) -> FloatVolume:
        """Read a normalised crop: protein positive, background 0, and 0 outside the volume.

        Parameters
        ----------
        start_zyx
            First voxel; may be negative.
        size_zyx
            Voxels along each axis; may reach beyond the volume.

        Raises
        ------
        InputError
            When the crop holds NaN or infinite values.
        """
        start, size = [int(first) for first in start_zyx], [int(length) for length in size_zyx]
        crop = np.zeros(size, dtype=np.float32)  # (z, y, x)
        low = [max(0, first) for first in start]
        high = [min(n, first + length) for n, first, length in zip(self.shape, start, size, strict=True)]
        if any(first >= last for first, last in zip(low, high, strict=True)):
            return crop
        z, y, x = (slice(first, last) for first, last in zip(low, high, strict=True))
        inside = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))
        try:
            crop[inside] = self.contrast.apply(self.read((z, y, x)))
        except InputError as error:
            raise InputError(f"{self}, crop from z y x {tuple(low)}: {error}") from error
        return crop


def find_tomograms(data: DataConfig) -> list[Tomogram]:
    """List the tomograms a command is asked to read, one per run, in the order of ``data.runs`` or by name.

    Parameters
    ----------
    data
        Project, runs (None: all), tomogram type, voxel spacing (None: the only one that has the type),
        polarity.

    Raises
    ------
    InputError
        When the project, a run, the tomogram type or the voxel spacing is not there; the message lists what
        is.
    """
    root = open_project(data.project)
    runs = {run.name: run for run in root.runs}
    if not runs:
        raise InputError(f"expected runs in {data.project}, found none: check its static_root and overlay_root")
    names = sorted(runs) if data.runs is None else list(dict.fromkeys(data.runs))
    if not names:
        raise InputError("expected at least one run in data.runs, found an empty list: leave it out to use all runs")
    unknown = [name for name in names if name not in runs]
    if unknown:
        raise InputError(f"expected runs among {listed(runs)}, found {listed(unknown)} in data.runs: check the names")
    return [_open_copick(runs[name], data) for name in names]


def open_zarr(
    path: str | Path,
    voxel_spacing: float | None = None,
    polarity: Polarity = Polarity.dark,
    run: str | None = None,
) -> Tomogram:
    """Open level 0 of an OME-Zarr.

    Parameters
    ----------
    path
        Folder of the OME-Zarr.
    voxel_spacing
        Å per voxel; None takes it from the file.
    polarity
        How protein looks in the stored values.
    run
        Name of the run; None takes the file's.

    Raises
    ------
    FileNotFoundError
        When there is no such folder.
    InputError
        When it is no zarr, or no voxel spacing is known.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"expected an OME-Zarr at {path}, found nothing there: check the path")
    array, stored = open_level(str(path), str(path))
    spacing = voxel_spacing or stored
    if not spacing:
        raise InputError(f"expected a voxel spacing in the metadata of {path}, found none: give voxel_spacing in Å")
    return Tomogram(
        run=run or path.stem, tomogram_type=path.stem, voxel_spacing=spacing, array=array, polarity=polarity,
        source=str(path),
    )  # fmt: skip


def open_mrc(
    path: str | Path,
    polarity: Polarity = Polarity.dark,
    voxel_spacing: float | None = None,
    run: str | None = None,
) -> Tomogram:
    """Open an MRC volume, mapped from disk.

    Parameters
    ----------
    path
        The file.
    polarity
        How protein looks in the stored values.
    voxel_spacing
        Å per voxel; None takes it from the header.
    run
        Name of the run; None takes the file's.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    InputError
        When the file is truncated or no MRC volume, or its header has no voxel spacing.
    """
    path = Path(path)
    array, stored = map_mrc(path)
    spacing = voxel_spacing or stored
    if not spacing:
        raise InputError(f"expected a voxel spacing in the header of {path}, found 0: give voxel_spacing in Å")
    return Tomogram(
        run=run or path.stem, tomogram_type=path.stem, voxel_spacing=spacing, array=array, polarity=polarity,
        source=str(path),
    )  # fmt: skip


def open_tiff(
    path: str | Path, voxel_spacing: float, polarity: Polarity = Polarity.dark, run: str | None = None
) -> Tomogram:
    """Open a TIFF stack as a volume; TIFF has no trustworthy voxel spacing, so it is given.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    InputError
        When the file is no TIFF volume.
    """
    path = Path(path)
    return Tomogram(
        run=run or path.stem, tomogram_type=path.stem, voxel_spacing=voxel_spacing, array=map_tiff(path),
        polarity=polarity, source=str(path),
    )  # fmt: skip


def _open_copick(run: Any, data: DataConfig) -> Tomogram:
    """Open the tomogram of one run that ``data`` asks for."""
    entry = choose_tomogram(run, data)
    spacing = float(entry.voxel_spacing.voxel_size)
    source, store = locate_store(entry)
    array, stored = open_level(store, source)
    if stored is not None and abs(stored - spacing) > SAME_SPACING * spacing:
        logger.warning("%s says %g Å per voxel; copick's %g Å is used", source, stored, spacing)
        stored = None
    return Tomogram(
        run=run.name, tomogram_type=data.tomogram_type, voxel_spacing=stored or spacing, array=array,
        polarity=data.polarity, source=source,
    )  # fmt: skip
