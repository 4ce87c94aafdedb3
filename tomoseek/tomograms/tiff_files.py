"""TIFF stacks as volumes z y x, and the voxel sides that ImageJ and OME-TIFF write."""

import logging
import xml.etree.ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoseek.errors import InputError
from tomoseek.geometry import order_xyz
from tomoseek.messages import warn_once
from tomoseek.tomograms.packed_files import unpacked
from tomoseek.tomograms.zarr_levels import unit_in_angstrom

_PAGES = "ZIQ"  # what tifffile calls the axis of pages: depth, image, or unknown
_COLOUR = "S"
_LARGE = 1e9  # bytes


def map_tiff(path: Path) -> tuple[NDArray[np.generic], NDArray[np.float64] | None]:
    """Map a TIFF or BigTIFF stack; a compressed one is read whole.

    Returns
    -------
    ``(z, y, x)``, and the sides x y z of a voxel in Å as ImageJ or an OME-TIFF says, None where nothing does.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    InputError
        When the file is no TIFF, or holds no volume, several, or colours.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected a TIFF file at {path}, found no such file: check the path")
    import tifffile  # slow to import, as the other libraries of a format are

    with unpacked(path) as file, _quiet():
        try:
            with tifffile.TiffFile(file) as opened:
                axes = _check(opened, path)
                sides = _sides(opened)
                volume = _pages(opened, file, path)
        except InputError:
            raise
        except Exception as error:  # tifffile raises whatever a damaged tag leads to
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"expected a TIFF volume in {path}, found {reason}: copy or convert the file again"
            ) from error
    kept = [
        place for place, (name, length) in enumerate(zip(axes, volume.shape, strict=True)) if length > 1 or name in "YX"
    ]
    names = "".join(axes[place] for place in kept)
    if len(kept) == 2 and volume.ndim > 2:  # a stack of one page
        return volume.reshape(1, *(volume.shape[place] for place in kept)), sides
    if len(kept) != 3 or names[1:] != "YX":
        raise InputError(
            f"expected a TIFF volume of 3 axes (z y x) in {path}, found shape {volume.shape} (axes {axes}): give one "
            "tomogram"
        )
    if names[0] not in _PAGES:
        what = {"T": "time points", "C": "channels"}.get(names[0], f"axis {names[0]}")
        warn_once(f"{path} calls its {volume.shape[kept[0]]} pages {what}: they are taken for the sections of a volume")
    return volume.reshape([volume.shape[place] for place in kept]), sides


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep tifffile from telling of each damaged tag, line by line."""
    logger = logging.getLogger("tifffile")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _check(opened: Any, path: Path) -> str:
    """Refuse colours and several images; return the names of the axes."""
    series = opened.series
    if len(series) != 1:
        raise InputError(f"expected one image in the TIFF {path}, found {len(series)}: write one of them by itself")
    axes = str(series[0].axes)
    if _COLOUR in axes:
        raise InputError(f"expected grey values in the TIFF {path}, found colours (axes {axes}): convert it to grey")
    if series[0].dtype is None or series[0].dtype.kind not in "biuf":
        raise InputError(f"expected real numbers in the TIFF {path}, found {series[0].dtype}: convert them to float32")
    return axes


def _pages(opened: Any, file: Path, path: Path) -> NDArray[Any]:
    """Map the voxels where they lie in one piece, else read them."""
    import tifffile

    series = opened.series[0]
    if series.dataoffset is not None:
        mapped: NDArray[Any] = tifffile.memmap(file, mode="r")
        return mapped.reshape(series.shape)
    if series.nbytes > _LARGE:
        warn_once(
            f"{path} is compressed or in pieces: it is read whole, {series.nbytes / 1e9:.1f} GB; an MRC needs less"
        )
    read: NDArray[Any] = opened.asarray()
    return read.reshape(series.shape)


def _sides(opened: Any) -> NDArray[np.float64] | None:
    """Voxel sides x y z in Å, None where the file does not say all three."""
    found = _ome_sides(opened.ome_metadata) if opened.is_ome else _imagej_sides(opened)
    if found is None or not np.isfinite(found).all() or not (found > 0).all():
        return None
    return found


def _ome_sides(text: str) -> NDArray[np.float64] | None:
    """``PhysicalSizeX``, ``Y`` and ``Z`` of an OME-TIFF; their unit is µm where none is given."""
    for element in xml.etree.ElementTree.fromstring(text).iter():
        if element.tag.rpartition("}")[2] == "Pixels":
            sides = []
            for axis in "XYZ":
                size = element.get(f"PhysicalSize{axis}")
                factor = unit_in_angstrom(element.get(f"PhysicalSize{axis}Unit", "µm"))
                if size is None or factor is None:
                    return None
                sides.append(float(size) * factor)
            return np.array(sides)
    return None


def _imagej_sides(opened: Any) -> NDArray[np.float64] | None:
    """ImageJ's ``spacing`` along z, and voxels per unit along x and y in the tags of the first page."""
    metadata = opened.imagej_metadata or {}
    unit = str(metadata.get("unit", "")).replace("\\u00B5", "µ").replace("\\u00C5", "å")
    factor = unit_in_angstrom(unit) if unit else None
    tags = opened.pages[0].tags
    if factor is None or "spacing" not in metadata or "XResolution" not in tags or "YResolution" not in tags:
        return None
    per_unit = [
        numerator / denominator for numerator, denominator in (tags[f"{axis}Resolution"].value for axis in "YX")
    ]
    return order_xyz([metadata["spacing"], *(1 / number for number in per_unit)]) * factor
