"""Volume files as arrays z y x: MRC and TIFF mapped from disk, OME-Zarr read by the chunk and written."""

import warnings
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from numpy.typing import NDArray

from tomoseek.errors import InputError

_MODES = [0, 1, 2, 6, 12]  # those of real numbers
_HEADER_BYTES = 1024
CHUNK = 64
NUM_LEVELS = 3


def map_mrc(path: Path) -> tuple[NDArray[np.generic], float]:
    """Map an MRC volume.

    Returns
    -------
    ``(z, y, x)`` and Å per voxel, 0 when the header does not say.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    InputError
        When the file is no MRC, is shorter than its header says, or has unequal voxel sides.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected an MRC file at {path}, found no such file: check the path")
    found = path.stat().st_size
    if found < _HEADER_BYTES:
        raise InputError(
            f"expected an MRC header of {_HEADER_BYTES} bytes in {path}, found {found} bytes: copy the file again"
        )
    try:
        # Permissive, for old programs write odd headers; what matters of it is checked below.
        with (
            warnings.catch_warnings(action="ignore"),
            mrcfile.open(path, header_only=True, permissive=True) as opened,
        ):
            header = opened.header.copy()
            sides = opened.voxel_size.copy()
    except (ValueError, OSError) as error:
        raise InputError(f"expected an MRC file in {path}, found {error}: decompress or convert it first") from error
    mode = int(header.mode)
    if mode not in _MODES:
        raise InputError(f"expected an MRC mode among {_MODES} in {path}, found {mode}: convert it to float32")
    dtype = mrcfile.utils.data_dtype_from_header(header)
    shape = (int(header.nz), int(header.ny), int(header.nx))
    if min(shape) < 1:
        raise InputError(f"expected a volume in {path}, found {shape} sections, rows and columns: copy the file again")
    offset = _HEADER_BYTES + int(header.nsymbt)
    expected = offset + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if found < expected:
        raise InputError(
            f"expected {expected} bytes in {path} (volume of {shape[0]} x {shape[1]} x {shape[2]}), found "
            f"{found}: the file is truncated, copy it again"
        )
    # Not mrcfile.mmap: it gives None for each fault that is told apart above, and four axes for a stack of volumes.
    volume: NDArray[np.generic] = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape)
    # Words 17 to 19 say which of x, y, z (1, 2, 3) columns, rows and sections are; old programs leave them 0.
    order = [int(header.maps), int(header.mapr), int(header.mapc)]
    if sorted(order) == [1, 2, 3] and order != [3, 2, 1]:
        volume = volume.transpose([order.index(axis) for axis in (3, 2, 1)])
    spacings = np.array([float(sides.x), float(sides.y), float(sides.z)])
    if not np.isfinite(spacings).all() or not (spacings > 0).all():
        return volume, 0.0
    if np.ptp(spacings) > 0.01 * spacings.mean():
        listed = " ".join(f"{side:.3f}" for side in spacings)
        raise InputError(f"expected cubic voxels in {path}, found x y z of {listed} Å: resample the volume")
    return volume, float(spacings.mean())


def map_tiff(path: Path) -> NDArray[np.generic]:
    """Map a TIFF stack ``(z, y, x)``; a compressed one is read whole.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    InputError
        When the file is no TIFF or holds no volume.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected a TIFF file at {path}, found no such file: check the path")
    import tifffile  # slow to import, as the other libraries of a format are

    try:
        try:
            volume: Any = tifffile.memmap(path, mode="r")
        except ValueError:
            volume = tifffile.imread(path)
    except (tifffile.TiffFileError, ValueError, OSError) as error:
        raise InputError(f"expected a TIFF volume in {path}, found {error}: copy or convert the file again") from error
    if volume.ndim != 3:
        raise InputError(f"expected a TIFF volume of 3 axes (z y x) in {path}, found shape {volume.shape}")
    return np.asanyarray(volume)


def open_level(store: Any, source: str) -> tuple[Any, float | None]:
    """Open level 0 of an OME-Zarr, or a plain zarr array; return it and its Å per voxel, None if unknown."""
    import zarr
    from copick.util.ome import get_voxel_size_from_zarr

    try:
        opened = zarr.open(store, mode="r")
        if isinstance(opened, zarr.Array):
            return _squeezed(opened), None
        level = "0"
        if "multiscales" in opened.attrs:
            level = opened.attrs["multiscales"][0]["datasets"][0]["path"]
        array = _squeezed(opened[level])
    except (ValueError, KeyError, IndexError, OSError) as error:
        raise InputError(f"expected an OME-Zarr in {source}, found {error!r}: write the tomogram again") from error
    try:
        return array, float(get_voxel_size_from_zarr(opened))
    except (KeyError, IndexError, ValueError, TypeError):
        return array, None


def write_ome_zarr(folder: Path, volume: NDArray[np.generic], voxel_spacing: float, name: str) -> None:
    """Write levels 0, 1, 2 of a multiscale OME-Zarr (NGFF 0.4), each the 2x2x2 mean of the one before."""
    import zarr

    group = zarr.group(zarr.DirectoryStore(str(folder), dimension_separator="/"), overwrite=True)
    datasets = []
    level = volume
    for index in range(NUM_LEVELS):
        if index:
            level = _halve(level).astype(volume.dtype)
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


def _squeezed(array: Any) -> Any:
    """Drop leading axes of length 1 (channel, time), which OME-Zarr allows; costs a read of such a volume."""
    if array.ndim <= 3 or any(length != 1 for length in array.shape[:-3]):
        return array
    values: NDArray[np.generic] = array[(0,) * (array.ndim - 3)]
    return values


def _halve(volume: NDArray[np.generic]) -> NDArray[np.float32]:
    """Mean of 2x2x2 voxels, slab by slab, as the volume may be mapped; an odd last plane counts twice."""
    z, y, x = ((length + 1) // 2 for length in volume.shape)
    halved = np.empty((z, y, x), dtype=np.float32)
    for start in range(0, z, CHUNK):
        slab = volume[2 * start : 2 * (start + CHUNK)]
        padded = np.pad(slab, [(0, length % 2) for length in slab.shape], mode="edge")
        blocks = padded.reshape(-1, 2, y, 2, x, 2)
        halved[start : start + CHUNK] = blocks.mean(axis=(1, 3, 5), dtype=np.float32)
    return halved
