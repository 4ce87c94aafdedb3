"""Run a network over a whole tomogram in overlapping tiles and blend the results, in bounded memory.

b: batch, c: channels, z y x: axes in voxels or, at a stride, in cells.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from tomoseek.network.strides import COARSEST_STRIDE
from tomoseek.running import progress as show_progress

Float32Array = NDArray[np.float32]


class Croppable(Protocol):
    """What is tiled: a volume that hands out crops padded with 0."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    def crop(self, start_zyx: Sequence[int], size_zyx: Sequence[int], /) -> Float32Array: ...


class Window:
    """The box of a volume that holds all that counts, tiled as if it were the whole.

    Padding is not computed, and does not stand in tiles beside what was measured. A tile that reaches beyond the box
    shows what is there.

    Parameters
    ----------
    volume
        Volume with ``shape`` and ``crop``.
    counting
        ``(z, y, x)``: which cells of ``stride`` voxels count, some do.
    stride
        Voxels per cell.
    """

    def __init__(self, volume: Croppable, counting: NDArray[np.bool_], stride: int) -> None:
        self._volume = volume
        self.run = getattr(volume, "run", "volume")
        spans = []
        for axis, length in enumerate(volume.shape):
            there = np.flatnonzero(counting.any(axis=tuple({0, 1, 2} - {axis}))) * stride
            low = int(there[0]) // COARSEST_STRIDE * COARSEST_STRIDE
            high = -(-(int(there[-1]) + stride) // COARSEST_STRIDE) * COARSEST_STRIDE
            spans.append((low, min(high, length)))
        self._start = [low for low, _ in spans]
        z, y, x = (high - low for low, high in spans)
        self.shape = (z, y, x)
        self.first_cell = np.array(self._start) // stride  # (3,) z y x
        self.cells = tuple(slice(low // stride, -(-high // stride)) for low, high in spans)

    def crop(self, start_zyx: Sequence[int], size_zyx: Sequence[int], /) -> Float32Array:
        """Crop the volume, counted from the first voxel of the window."""
        return self._volume.crop([a + b for a, b in zip(start_zyx, self._start, strict=True)], size_zyx)


@dataclass(frozen=True, slots=True)
class Axis:
    """Tiles along one axis.

    Parameters
    ----------
    length
        Voxels of the volume.
    tile
        Voxels of a tile.
    starts
        First voxel of each tile, multiples of the stride.
    weight
        ``(tile / stride,)`` blending weight of a tile's cells: flat, with ramps as wide as the overlap.
    total
        ``(cells,)`` sum of the weights of all tiles at each output cell.
    """

    length: int
    tile: int
    starts: tuple[int, ...]
    weight: Float32Array
    total: Float32Array


def predict_tiled(
    tomogram: Croppable,
    function: Callable[[Tensor], Tensor],
    *,
    tile: Sequence[int],
    overlap: int,
    stride: int,
    num_channels: int,
    batch_size: int = 1,
    device: torch.device | str = "cpu",
    progress: bool = True,
    dtype: DTypeLike = np.float16,
) -> NDArray[np.floating]:
    """Apply a network to a whole tomogram.

    Beyond the result itself this needs one row of tiles: input and, as float32, output, ``tile[0]`` voxels
    high.

    Parameters
    ----------
    tomogram
        Volume with ``shape`` and ``crop``.
    function
        Maps ``(b, 1, z, y, x)`` float32 on ``device`` to ``(b, num_channels, z / stride, ...)``.
    tile
        Voxels z y x. Multiples of 8 and of the stride; cut to the volume's size, rounded up, where that is
        less.
    overlap
        Voxels that neighbouring tiles share, over which they are blended; less than a tile.
    stride
        Voxels per output cell.
    num_channels
        Of the output.
    batch_size
        Tiles per call.
    device
        Where the network runs.
    progress
        Show tiles done and time left.
    dtype
        Of the result.

    Returns
    -------
    ``(num_channels, z, y, x)`` cells: cell i covers voxels ``stride * i`` to ``stride * i + stride - 1``; the
    last cell of an axis may reach beyond the volume.

    Raises
    ------
    RuntimeError
        When the network returns NaN or infinite values.
    """
    size = [-(-length // stride) for length in tomogram.shape]
    result = np.empty((num_channels, *size), dtype=dtype)  # (c, z, y, x)
    slabs = iterate_slabs(
        tomogram, function, tile=tile, overlap=overlap, stride=stride, num_channels=num_channels,
        batch_size=batch_size, device=device, progress=progress,
    )  # fmt: skip
    for start, slab in slabs:
        result[:, start : start + slab.shape[1]] = slab
    return result


def iterate_slabs(
    tomogram: Croppable,
    function: Callable[[Tensor], Tensor],
    *,
    tile: Sequence[int],
    overlap: int,
    stride: int,
    num_channels: int,
    batch_size: int = 1,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> Iterator[tuple[int, Float32Array]]:
    """Yield the blended output of `predict_tiled` slab by slab along z, each as soon as it is final.

    Parameters
    ----------
    tomogram, function, tile, overlap, stride, num_channels, batch_size, device, progress
        As for `predict_tiled`.

    Yields
    ------
    First cell along z, and ``(num_channels, z, y, x)`` float32. Together the slabs cover every cell once, in
    order.
    """
    axes = [plan_axis(*lengths, overlap, stride) for lengths in zip(tomogram.shape, tile, strict=True)]
    axis_z, axis_y, axis_x = axes
    num_cells = [len(axis.total) for axis in axes]
    columns = [(y, x) for y in axis_y.starts for x in axis_x.starts]
    batches = [
        (row, columns[first : first + batch_size])
        for row in range(len(axis_z.starts))
        for first in range(0, len(columns), batch_size)
    ]
    weight = axis_z.weight[:, None, None] * axis_y.weight[:, None] * axis_x.weight  # (z, y, x)
    total_yx = axis_y.total[:, None] * axis_x.total  # (y, x)
    padded = [axis.starts[-1] + axis.tile for axis in axes]
    slab_cells = (len(axis_z.weight), padded[1] // stride, padded[2] // stride)
    summed = np.zeros((num_channels, *slab_cells), dtype=np.float32)  # (c, z, y, x)
    row_of_tiles = np.zeros(0, dtype=np.float32)
    num_done = len(columns)  # tiles done in the present row
    name = getattr(tomogram, "run", "volume")
    for row, batch in show_progress(batches, f"tiles of {name}", "batch") if progress else batches:
        start_z = axis_z.starts[row]
        if num_done == len(columns):
            row_of_tiles = tomogram.crop((start_z, 0, 0), (axis_z.tile, padded[1], padded[2]))  # (z, y, x)
            num_done = 0
        crops = np.stack([row_of_tiles[:, y : y + axis_y.tile, x : x + axis_x.tile] for y, x in batch])
        with torch.inference_mode():
            output = function(torch.from_numpy(crops)[:, None].to(device))  # (b, c, z, y, x)
        expected = (len(batch), num_channels, *weight.shape)
        if tuple(output.shape) != expected:
            raise ValueError(f"expected network output of shape {expected}, found {tuple(output.shape)}")
        for (y, x), values in zip(batch, output.float().cpu().numpy(), strict=True):
            rows = slice(y // stride, (y + axis_y.tile) // stride)
            columns_x = slice(x // stride, (x + axis_x.tile) // stride)
            summed[:, :, rows, columns_x] += values * weight
        num_done += len(batch)
        if num_done < len(columns):
            continue
        # Cells before the next row's first are final; the rest move to the front and wait for that row.
        first = start_z // stride
        last = axis_z.starts[row + 1] // stride if row + 1 < len(axis_z.starts) else num_cells[0]
        num_final = last - first
        total = axis_z.total[first:last, None, None] * total_yx  # (z, y, x)
        slab = np.divide(summed[:, :num_final, : num_cells[1], : num_cells[2]], total, dtype=np.float32)
        if not np.isfinite(slab.sum(dtype=np.float64)):
            raise RuntimeError(f"expected finite network output, found NaN or infinity in z cells {first}-{last}")
        yield first, slab
        summed[:, : summed.shape[1] - num_final] = summed[:, num_final:].copy()
        summed[:, summed.shape[1] - num_final :] = 0


def plan_axis(length: int, tile: int, overlap: int, stride: int) -> Axis:
    """Place tiles along one axis so that they cover it, overlap by at least ``overlap``, and start on cells.

    Raises
    ------
    ValueError
        When the tile is no multiple of 8 and of the stride, or not longer than the overlap.
    """
    multiple = int(np.lcm(COARSEST_STRIDE, stride))
    if tile % multiple or tile < multiple:
        raise ValueError(f"expected a tile of a multiple of {multiple} voxels, found {tile}")
    if not 0 <= overlap < tile:
        raise ValueError(f"expected an overlap of 0 to {tile - 1} voxels, found {overlap}")
    tile = min(tile, -(-length // multiple) * multiple)
    if length <= tile:
        starts = [0]
    else:
        last = -(-(length - tile) // stride) * stride
        step = max(stride, (tile - overlap) // stride * stride)
        num_steps = -(-last // step)
        # Evenly spread, so that the last tile does not nearly repeat the one before.
        starts = sorted({round(last * index / num_steps / stride) * stride for index in range(num_steps + 1)})
    cells = tile // stride
    ramp = min(overlap // stride, (cells - 1) // 2)
    distance = np.minimum(np.arange(cells), np.arange(cells)[::-1])
    weight = np.minimum((distance + 1) / (ramp + 1), 1.0).astype(np.float32)  # (cells,)
    total = np.zeros((starts[-1] + tile) // stride, dtype=np.float32)
    for start in starts:
        total[start // stride : start // stride + cells] += weight
    return Axis(length, tile, tuple(starts), weight, total[: -(-length // stride)])
