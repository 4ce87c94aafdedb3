"""The finest level of an OME-Zarr as a lazy array z y x, whatever the order of its axes, and its voxel sides in Å."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoseek.errors import InputError
from tomoseek.geometry import order_xyz
from tomoseek.messages import listed, warn_once
from tomoseek.tomograms.blank import Region

_LARGEST_CHUNK = 2**31  # bytes; codecs pack no more at once
_OLD_AXES = "tczyx"  # of OME-Zarr before 0.3, which names none
_ABBREVIATIONS = {
    "å": "angstrom", "ångström": "angstrom", "ångstrom": "angstrom", "angstroms": "angstrom", "ang": "angstrom",
    "a": "angstrom", "pm": "picometer", "nm": "nanometer", "um": "micrometer", "µm": "micrometer", "μm": "micrometer",
    "micron": "micrometer", "microns": "micrometer", "mm": "millimeter", "m": "meter",
}  # fmt: skip


class OrderedArray:
    """Three axes of a zarr array, in the order z y x; nothing is read before a region is asked for.

    Whatever zarr raises on damaged chunks becomes an ``OSError``.

    Parameters
    ----------
    array
        Of any number of axes, those left out of length 1.
    axes_zyx
        Which of them are z, y and x.
    """

    def __init__(self, array: Any, axes_zyx: Sequence[int]) -> None:
        self._array, self._axes = array, tuple(axes_zyx)
        self.shape: tuple[int, ...] = tuple(int(array.shape[axis]) for axis in self._axes)
        self.dtype = array.dtype

    def __getitem__(self, region: Region) -> NDArray[np.generic]:
        whole: list[Any] = [0] * len(self._array.shape)
        for axis, part in zip(self._axes, region, strict=True):
            whole[axis] = part
        stored = sorted(self._axes)
        try:
            values: NDArray[np.generic] = self._array[tuple(whole)]
            return values.transpose([stored.index(axis) for axis in self._axes])  # (z, y, x)
        except OSError:
            raise
        except Exception as error:  # a codec's own, or of a chunk that is cut short
            raise OSError(" ".join(f"{type(error).__name__} {error}".split())) from error


def open_level(store: Any, source: str) -> tuple[Any, NDArray[np.float64] | None]:
    """Open level 0 of an OME-Zarr, of format 2 or 3, or a plain zarr array.

    Parameters
    ----------
    store
        Path of a local one, else zarr's FSStore.
    source
        What to call it.

    Returns
    -------
    A lazy ``(z, y, x)`` array, and the sides x y z of its voxels in Å, None where nothing says.

    Raises
    ------
    InputError
        When it is no zarr, holds no volume or several, or is of a kind that is not read.
    """
    import zarr

    try:
        return _open_level(zarr.open(_readable(store), mode="r"), source)
    except InputError:
        raise
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OSError, zarr.errors.MetadataError) as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise InputError(f"expected an OME-Zarr in {source}, found {reason}: write the tomogram again") from error


def _readable(store: Any) -> Any:
    """Return what zarr 2 can open: the store itself or, where it is of format 3, that translated."""
    import fsspec

    from tomoseek.tomograms.zarr_v3 import METADATA, Version3Store

    fs, root = (fsspec.filesystem("file"), store) if isinstance(store, str) else (store.fs, store.path)
    return Version3Store(fs, root) if fs.exists(f"{root.rstrip('/')}/{METADATA}") else store


def _open_level(opened: Any, source: str) -> tuple[Any, NDArray[np.float64] | None]:
    import zarr

    attributes = opened.attrs.asdict()
    if isinstance(opened, zarr.Array):
        names = attributes.get("_ARRAY_DIMENSIONS")
        return _ordered(opened, [{"name": name} for name in names] if names else None, source)[0], None
    if "multiscales" not in attributes:
        name = _only_member(opened, source)
        if isinstance(opened[name], zarr.Group):
            return _open_level(opened[name], source)
        return _ordered(opened[name], None, source)[0], None
    multiscale = attributes["multiscales"][0]
    dataset = multiscale["datasets"][0]
    if dataset["path"] not in opened:
        raise InputError(f"expected the array '{dataset['path']}' in {source}, found none: copy the tomogram again")
    axes = multiscale.get("axes")
    if axes is not None:
        axes = [{"name": axis} if isinstance(axis, str) else axis for axis in axes]
    array, axes_zyx = _ordered(opened[dataset["path"]], axes, source)
    return array, _sides(multiscale, dataset, axes, axes_zyx, source)


def _only_member(group: Any, source: str) -> str:
    """Name the array, or the image, of a group without metadata."""
    arrays: list[str] = sorted(group.array_keys())
    groups: list[str] = sorted({*group.group_keys()} - {"OME"})
    if arrays and not groups and (len(arrays) == 1 or {"0", "s0"} & set(arrays)):
        return next((name for name in ("0", "s0") if name in arrays), arrays[0])
    if len(groups) == 1 and not arrays:
        return groups[0]
    if not arrays and not groups:
        raise InputError(f"expected an OME-Zarr in {source}, found an empty group: write the tomogram again")
    raise InputError(
        f"expected one image in the OME-Zarr {source}, found {listed(arrays + groups)}: give the path of one, such as "
        f"{source}/{(arrays + groups)[0]}"
    )


def _ordered(array: Any, axes: Sequence[Mapping[str, Any]] | None, source: str) -> tuple[Any, tuple[int, ...]]:
    """Turn an array to z y x by the names of its axes; say which of them those are."""
    if array.dtype.kind not in "biuf":
        raise InputError(f"expected real numbers in {source}, found {array.dtype}: convert them to float32")
    lengths = [*array.shape, *array.chunks]
    if not all(isinstance(length, int) and length > 0 for length in lengths):
        raise InputError(f"expected whole numbers of voxels in {source}, found {listed(lengths)}: copy it again")
    if math.prod(array.chunks) * array.dtype.itemsize >= _LARGEST_CHUNK:
        raise InputError(f"expected chunks of less than 2 GB in {source}, found {array.chunks} voxels: write it again")
    num = len(array.shape)
    if not all(isinstance(length, int) and length > 0 for length in (*array.shape, *array.chunks)):
        raise InputError(f"expected voxels in {source}, found shape {array.shape} in chunks of {array.chunks}")
    names = [str(axis["name"]).lower() for axis in axes] if axes else list(_OLD_AXES[-num:])
    if len(names) != num or num < 3:
        raise InputError(
            f"expected a volume with the axes z, y and x in {source}, found shape {tuple(array.shape)} and axes "
            f"{listed(names)}: give one tomogram"
        )
    if not {"x", "y", "z"} <= set(names):
        warn_once(f"{source} calls its axes {listed(names)}: the last three are taken for z, y and x")
        names = [*names[:-3], "z", "y", "x"]
    for name, length in zip(names, array.shape, strict=True):
        if name not in "xyz" and length != 1:
            raise InputError(
                f"expected one volume in {source}, found {length} along its axis '{name}': write one of them by itself"
            )
    axes_zyx = tuple(names.index(name) for name in "zyx")
    return OrderedArray(array, axes_zyx), axes_zyx


def _sides(
    multiscale: Mapping[str, Any],
    dataset: Mapping[str, Any],
    axes: Sequence[Mapping[str, Any]] | None,
    axes_zyx: Sequence[int],
    source: str,
) -> NDArray[np.float64] | None:
    """Read the voxel sides x y z in Å, None where they are not there or in a unit that nobody knows."""
    units = [(axes[axis].get("unit") if axes else None) for axis in axes_zyx]
    factors = [unit_in_angstrom(unit) for unit in units]
    steps = [*(dataset.get("coordinateTransformations") or ()), *(multiscale.get("coordinateTransformations") or ())]
    scale, corner, is_scaled = np.ones(3), np.zeros(3), False
    for step in steps:  # (3,) z y x
        if step["type"] == "scale":
            factor = np.array([float(step["scale"][axis]) for axis in axes_zyx])
            scale, corner, is_scaled = scale * factor, corner * factor, True
        elif step["type"] == "translation":
            corner = corner + np.array([float(step["translation"][axis]) for axis in axes_zyx])
    if not is_scaled:
        return None
    if None in factors:
        strange = next(unit for unit, factor in zip(units, factors, strict=True) if factor is None)
        warn_once(f"{source} gives its voxel spacing in '{strange}', which is no unit of length: it is not used")
        return None
    sides, corner = scale * np.array(factors), corner * np.array(factors)
    if not (np.isfinite(sides).all() and (sides > 0).all()):
        return None
    if (np.abs(corner) > 0.51 * sides).any():
        told = " ".join(f"{at:g}" for at in order_xyz(corner))
        warn_once(
            f"{source} says that its corner lies at x y z of {told} Å: positions are counted from its corner all the "
            "same, as copick does"
        )
    return order_xyz(sides)


def unit_in_angstrom(unit: Any) -> float | None:
    """Å in a unit; where none is given it is Å, as copick takes it."""
    from copick.util.ome import UNITFACTOR

    if unit is None:
        return 1.0
    name = str(unit).lower()
    factor: float | None = UNITFACTOR.get(_ABBREVIATIONS.get(name, name))
    return factor
