"""Tomograms from files: MRC, TIFF and OME-Zarr."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoseek.config import Polarity
from tomoseek.errors import InputError
from tomoseek.messages import warn_once
from tomoseek.tomograms.packed_files import split_name
from tomoseek.tomograms.tiff_files import map_tiff
from tomoseek.tomograms.tomogram import Tomogram
from tomoseek.tomograms.volume_files import check_cubic, map_mrc
from tomoseek.tomograms.zarr_levels import open_level

MRC_SUFFIXES, TIFF_SUFFIXES, ZARR_SUFFIX = (".mrc", ".rec", ".map", ".st"), (".tif", ".tiff"), ".zarr"
FORMATS = ".mrc, .rec, .map or .st (MRC), .tif or .tiff, each also as .gz, .bz2 or .xz, .zarr (OME-Zarr)"
_ZARR_METADATA = (".zgroup", ".zarray", "zarr.json")
_LEAST_SPACING, _MOST_SPACING = 0.5, 200.0  # Å; beyond, nobody has a tomogram


def open_tomogram(
    path: str | Path,
    voxel_spacing: float | None = None,
    polarity: Polarity | str = Polarity.dark,
    run: str | None = None,
) -> Tomogram:
    """Open a tomogram from a file, by the end of its name; no voxel is read yet.

    Parameters
    ----------
    path
        ``.mrc``, ``.rec``, ``.map`` or ``.st`` (MRC), ``.tif`` or ``.tiff``; one packed as ``.gz``, ``.bz2`` or ``.xz``
        is unpacked into a temporary file. ``.zarr``, or any folder that is a zarr (OME-Zarr 0.1 to 0.5).
    voxel_spacing
        Å per voxel; None takes it from the file. A given one is taken even where the file has unequal voxel sides.
    polarity
        How protein looks in the stored values: dark, as usual, or bright.
    run
        What to call it; None takes the file's name.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    InputError
        When it is of another kind, damaged, has unequal voxel sides, or nobody says its voxel spacing.

    Examples
    --------
    >>> import mrcfile, numpy
    >>> with mrcfile.new("tomo.mrc", overwrite=True) as file:
    ...     file.set_data(numpy.random.default_rng(0).normal(size=(32, 64, 64)).astype("float32"))
    ...     file.voxel_size = 10.0
    >>> tomogram = open_tomogram("tomo.mrc")
    >>> tomogram.shape, tomogram.voxel_spacing
    ((32, 64, 64), 10.0)
    >>> tomogram.crop((0, 16, 16), (8, 32, 32)).shape  # z y x; normalised, protein positive
    (8, 32, 32)
    """
    path, polarity = Path(path), Polarity(polarity)
    kind = split_name(path)[1]
    if kind in MRC_SUFFIXES:
        return open_mrc(path, polarity, voxel_spacing, run)
    if kind in TIFF_SUFFIXES:
        return open_tiff(path, voxel_spacing, polarity, run)
    if kind == ZARR_SUFFIX or is_zarr(path):
        return open_zarr(path, voxel_spacing, polarity, run)
    if kind == ".json":
        raise InputError(f"expected a tomogram as {FORMATS}, found {path}: give a copick config as data.project={path}")
    raise InputError(f"expected a tomogram as {FORMATS}, found {path}; convert it")


def is_zarr(path: Path) -> bool:
    """Tell whether a folder is a zarr, whatever it is called."""
    return any((path / name).is_file() for name in _ZARR_METADATA)


def is_volume(path: Path) -> bool:
    """Tell by its name, and by what a folder holds, whether a path may be opened as a tomogram."""
    kind = split_name(path)[1]
    return is_zarr(path) or (not path.is_dir() and kind in (*MRC_SUFFIXES, *TIFF_SUFFIXES))


def open_zarr(
    path: str | Path,
    voxel_spacing: float | None = None,
    polarity: Polarity = Polarity.dark,
    run: str | None = None,
) -> Tomogram:
    """Open the finest level of an OME-Zarr, its axes turned to z y x.

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
        When it is no zarr, holds several volumes, has unequal voxel sides, or no voxel spacing is known.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"expected an OME-Zarr at {path}, found nothing there: check the path")
    if not path.is_dir():
        raise InputError(f"expected the folder of an OME-Zarr at {path}, found a file: unpack it first")
    array, sides = open_level(str(path), str(path))
    if voxel_spacing is None and sides is None:
        raise InputError(f"expected a voxel spacing in the metadata of {path}, found none: give voxel_spacing in Å")
    return _tomogram(path, array, _spacing(voxel_spacing, sides, path), polarity, run)


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
        The file, which gzip, bzip2 or xz may have packed.
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
        When the file is truncated or no MRC volume, or its header has no voxel spacing or unequal sides.
    """
    path = Path(path)
    array, spacing = map_mrc(path, voxel_spacing)
    if not spacing:
        raise InputError(f"expected a voxel spacing in the header of {path}, found 0: give voxel_spacing in Å")
    if voxel_spacing is None:
        warn_of_spacing(spacing, path)
    return _tomogram(path, array, spacing, polarity, run)


def open_tiff(
    path: str | Path,
    voxel_spacing: float | None = None,
    polarity: Polarity = Polarity.dark,
    run: str | None = None,
) -> Tomogram:
    """Open a TIFF stack as a volume.

    Parameters
    ----------
    path
        The file.
    voxel_spacing
        Å per voxel; None takes what ImageJ or an OME-TIFF says, other TIFF files do not say it.
    polarity
        How protein looks in the stored values.
    run
        Name of the run; None takes the file's.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    InputError
        When the file is no TIFF volume, holds colours or several images, or no voxel spacing is known.
    """
    path = Path(path)
    array, sides = map_tiff(path)
    if voxel_spacing is None and sides is None:
        raise InputError(f"expected the voxel spacing of {path} in Å, which this TIFF does not say; give voxel_spacing")
    return _tomogram(path, array, _spacing(voxel_spacing, sides, path), polarity, run)


def warn_of_spacing(voxel_spacing: float, source: str | Path, advice: str = "give voxel_spacing in Å") -> None:
    """Warn of a voxel spacing that nobody has, or that programs write which do not know it: 1 Å."""
    if abs(voxel_spacing - 1) < 1e-4 or not _LEAST_SPACING <= voxel_spacing <= _MOST_SPACING:
        warn_once(
            f"{source} says {voxel_spacing:g} Å per voxel, which usually means that it was never written: {advice}"
        )


def _spacing(given: float | None, sides_xyz: NDArray[np.float64] | None, path: Path) -> float:
    """Return the voxel spacing given, else that of the file, checked."""
    if given is not None:
        return given
    assert sides_xyz is not None
    check_cubic(sides_xyz, path)
    spacing = float(sides_xyz.mean())
    warn_of_spacing(spacing, path)
    return spacing


def _tomogram(path: Path, array: Any, voxel_spacing: float, polarity: Polarity, run: str | None) -> Tomogram:
    name = split_name(path)[0]
    return Tomogram(
        run=run or name, tomogram_type=name, voxel_spacing=voxel_spacing, array=array, polarity=polarity,
        source=str(path),
    )  # fmt: skip
