"""Tomograms from files: OME-Zarr, MRC and TIFF."""

from pathlib import Path

from tomoseek.config import Polarity
from tomoseek.errors import InputError
from tomoseek.tomograms.tomogram import Tomogram
from tomoseek.tomograms.volume_files import map_mrc, map_tiff, open_level

FORMATS = ".mrc, .rec, .map or .st (MRC), .tif or .tiff, .zarr (OME-Zarr)"


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
        ``.mrc``, ``.rec``, ``.map`` or ``.st`` (MRC), ``.tif`` or ``.tiff``, ``.zarr`` (OME-Zarr).
    voxel_spacing
        Å per voxel; None takes it from the file, which a TIFF does not say.
    polarity
        How protein looks in the stored values: dark, as usual, or bright.
    run
        What to call it; None takes the file's name.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    InputError
        When it is of another kind, damaged, or nobody says its voxel spacing.

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
    kind = path.suffix.lower()
    if kind in (".mrc", ".rec", ".map", ".st"):
        return open_mrc(path, polarity, voxel_spacing, run)
    if kind == ".zarr":
        return open_zarr(path, voxel_spacing, polarity, run)
    if kind in (".tif", ".tiff"):
        if voxel_spacing is None:
            raise InputError(
                f"expected the voxel spacing of {path} in Å, which a TIFF does not say; give voxel_spacing"
            )
        return open_tiff(path, voxel_spacing, polarity, run)
    raise InputError(f"expected a tomogram as {FORMATS}, found {path}; convert it")


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
