"""Volume files as arrays z y x: MRC mapped from disk, OME-Zarr written."""

import io
import math
import warnings
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from mrcfile.mrcinterpreter import MrcInterpreter
from numpy.typing import NDArray

from tomoseek.errors import InputError
from tomoseek.geometry import SAME_SPACING
from tomoseek.tomograms.binning import binned
from tomoseek.tomograms.mrc_bytes import holds_half_bytes, with_sign
from tomoseek.tomograms.packed_files import unpacked

_MODES = [0, 1, 2, 6, 12]  # those of real numbers
_HEADER_BYTES = 1024
_EXTENDED = slice(92, 96)  # of these, those that tell the length of the extended header
CHUNK = 64
NUM_LEVELS = 3
SLAB = 8  # planes of a coarser level that are computed at once


def map_mrc(path: Path, voxel_spacing: float | None = None) -> tuple[NDArray[np.generic], float]:
    """Map an MRC volume; one packed by gzip, bzip2 or xz is unpacked into a temporary file first.

    Parameters
    ----------
    path
        The file.
    voxel_spacing
        Å per voxel, where it is known better than the header knows it.

    Returns
    -------
    ``(z, y, x)`` and Å per voxel: the given one, else the header's, 0 when that does not say.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    InputError
        When the file is no MRC, is shorter than its header says, or has unequal voxel sides and none is given.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected an MRC file at {path}, found no such file: check the path")
    with unpacked(path) as file:
        return _map_plain_mrc(file, path, voxel_spacing)


def _map_plain_mrc(file: Path, path: Path, voxel_spacing: float | None) -> tuple[NDArray[np.generic], float]:
    """Map the unpacked ``file`` of ``path``, as `map_mrc` does."""
    found = file.stat().st_size
    if found < _HEADER_BYTES:
        raise InputError(
            f"expected an MRC header of {_HEADER_BYTES} bytes in {path}, found {found} bytes: copy the file again"
        )
    try:
        # Permissive, for old programs write odd headers; what matters of it is checked below. Without the extended
        # header, of which mrcfile would read as much as the header claims.
        with warnings.catch_warnings(action="ignore"), file.open("rb") as stream:
            first = bytearray(stream.read(_HEADER_BYTES))
            extended = bytes(first[_EXTENDED])
            first[_EXTENDED] = bytes(4)
            opened = MrcInterpreter(io.BytesIO(first), permissive=True, header_only=True)
            header = opened.header.copy()
            header.nsymbt = np.frombuffer(extended, header.nsymbt.dtype)[0]
            sides = opened.voxel_size.copy()
    except (ValueError, OSError) as error:
        raise InputError(f"expected an MRC file in {path}, found {error}: decompress or convert it first") from error
    mode = int(header.mode)
    if mode not in _MODES:
        raise InputError(f"expected an MRC mode among {_MODES} in {path}, found {mode}: convert it to float32")
    if mode == 0 and holds_half_bytes(header):
        raise InputError(f"expected one voxel a byte in {path}, found two of four bits: convert it to 8 or 16 bits")
    dtype = mrcfile.utils.data_dtype_from_header(header)
    shape = (int(header.nz), int(header.ny), int(header.nx))
    if min(shape) < 1:
        raise InputError(f"expected a volume in {path}, found {shape} sections, rows and columns: copy the file again")
    offset = _HEADER_BYTES + int(header.nsymbt)
    if offset < _HEADER_BYTES:
        raise InputError(f"expected an MRC header in {path}, found one of {offset} bytes: copy the file again")
    expected = offset + math.prod(shape) * dtype.itemsize
    if found < expected:
        raise InputError(
            f"expected {expected} bytes in {path} (volume of {shape[0]} x {shape[1]} x {shape[2]}), found "
            f"{found}: the file is truncated, copy it again"
        )
    # Not mrcfile.mmap: it gives None for each fault that is told apart above, and four axes for a stack of volumes.
    volume: NDArray[Any] = np.memmap(file, dtype=dtype, mode="r", offset=offset, shape=shape)
    if mode == 0:
        volume = with_sign(volume, header, path)
    # Words 17 to 19 say which of x, y, z (1, 2, 3) columns, rows and sections are; old programs leave them 0.
    order = [int(header.maps), int(header.mapr), int(header.mapc)]
    if sorted(order) == [1, 2, 3] and order != [3, 2, 1]:
        volume = volume.transpose([order.index(axis) for axis in (3, 2, 1)])
    if voxel_spacing is not None:
        return volume, voxel_spacing
    spacings = np.array([float(sides.x), float(sides.y), float(sides.z)])
    if int(header.mz) == 1 and volume.shape[0] > 1 and not is_cubic(spacings):
        spacings[2] /= volume.shape[0]  # a stack of one cell, whose z is that of all sections
    if not np.isfinite(spacings).all() or not (spacings > 0).any():
        return volume, 0.0
    check_cubic(spacings, path)
    return volume, float(spacings.mean())


def is_cubic(sides: NDArray[np.float64]) -> bool:
    """Tell whether voxel sides are one, but for what programs round."""
    return bool(np.ptp(sides) <= SAME_SPACING * sides.mean())


def check_cubic(sides_xyz: NDArray[np.float64], source: str | Path) -> None:
    """Refuse a volume whose voxel sides, x y z in Å, differ by more than a hundredth.

    Raises
    ------
    InputError
        With the sides, and what to do.
    """
    if not is_cubic(sides_xyz):
        listed = " ".join(f"{side:.3f}" for side in sides_xyz)
        raise InputError(
            f"expected cubic voxels in {source}, found x y z of {listed} Å: resample the volume or, where that is "
            "wrong, give voxel_spacing in Å"
        )


def write_ome_zarr(folder: Path, volume: NDArray[np.generic], voxel_spacing: float, name: str) -> None:
    """Write levels 0, 1, 2 of a multiscale OME-Zarr (NGFF 0.4), each the 2x2x2 mean of the one before."""
    import zarr

    group = zarr.group(zarr.DirectoryStore(str(folder), dimension_separator="/"), overwrite=True)
    datasets = []
    level = volume
    for index in range(NUM_LEVELS):
        if index:
            level = _halve(level).astype(volume.dtype, copy=False)
        group.create_dataset(
            str(index),
            data=level,
            chunks=tuple(min(CHUNK, length) for length in level.shape),
            dimension_separator="/",
        )
        scale = [voxel_spacing * 2**index] * 3
        datasets.append({"path": str(index), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    axes = [{"name": axis, "type": "space", "unit": "angstrom"} for axis in "zyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "name": name, "axes": axes, "datasets": datasets}]


def _halve(volume: NDArray[np.generic]) -> NDArray[np.float32]:
    """Mean of 2x2x2 voxels, slab by slab, as the volume may be mapped; an odd last plane counts twice."""
    z, y, x = ((length + 1) // 2 for length in volume.shape)
    halved = np.empty((z, y, x), dtype=np.float32)
    for start in range(0, z, SLAB):
        halved[start : start + SLAB] = binned(volume[2 * start : 2 * (start + SLAB)], 2)
    return halved
