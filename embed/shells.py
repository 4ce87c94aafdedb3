"""How dense each place of a tomogram is, and what lies around it: means over spherical shells, which nothing learned.

Letters: s shells; z y x voxels, or cells of ``EMBEDDING_STRIDE`` voxels.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional

from embed.dense import grid_shape
from embed.density_profile import NUM_SHELLS, STEP, THICKNESS
from tomoseek.network.strides import EMBEDDING_STRIDE
from tomoseek.tomograms.tiling import Croppable

POOLED = 2  # voxels averaged along each axis; half a cell
LAYERS = 16  # of cells at once


def shell_densities(tomogram: Croppable, device: torch.device) -> NDArray[np.int8]:
    """Average the normalised voxels of a tomogram over shells around the centre of each cell.

    Holds one slab of some 100 layers of voxels at a time, and the result.

    Returns
    -------
    ``(z, y, x, s)``, in steps of `STEP`; shell k is a hat in the distance from the centre, `THICKNESS` wide at half
    its height, around k times as much.
    """
    shells = np.zeros((*grid_shape(tomogram.shape), NUM_SHELLS), dtype=np.int8)
    kernels = shell_kernels().to(device)
    for first, layers in _slabs(tomogram, device):
        for k, kernel in enumerate(kernels):
            means = _correlate(layers, kernel)
            part = shells[first : first + len(means), ..., k]
            part[...] = (means / STEP).round().clamp(-127, 127).to(torch.int8).cpu().numpy()[: len(part)]
    return shells


def shell_kernels() -> Tensor:
    """Return the weights ``(s, n, n, n)`` of pooled voxels around the corner that eight of them share, n even."""
    half = _reach()
    place = (torch.arange(2 * half) - half + 0.5) * POOLED  # voxels from the centre of a cell
    z, y, x = torch.meshgrid(place, place, place, indexing="ij")
    distance = (z**2 + y**2 + x**2).sqrt()
    middles = THICKNESS * torch.arange(NUM_SHELLS)
    hats = (1 - (distance - middles[:, None, None, None]).abs() / THICKNESS).clamp(min=0)
    return hats / hats.sum((1, 2, 3), keepdim=True)


def _reach() -> int:
    """Pooled voxels from a cell's centre to the end of the outermost shell."""
    return int(np.ceil(THICKNESS * NUM_SHELLS / POOLED))


def _slabs(tomogram: Croppable, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """Yield the first layer of cells and the pooled voxels ``(z, y, x)`` of each slab, what is around included."""
    z, y, x = grid_shape(tomogram.shape)
    margin = (_reach() - 1) * POOLED  # a cell's centre is half a pooled voxel beyond its first one
    for first in range(0, z, LAYERS):
        count = min(LAYERS, z - first)
        start = (first * EMBEDDING_STRIDE - margin, -margin, -margin)
        size = [cells * EMBEDDING_STRIDE + 2 * margin for cells in (count, y, x)]
        voxels = torch.from_numpy(tomogram.crop(start, size)).to(device)
        yield first, functional.avg_pool3d(voxels[None, None], POOLED)[0, 0]


def _correlate(pooled: Tensor, kernel: Tensor) -> Tensor:
    """Weigh what is around the centre of each cell ``(z, y, x)``."""
    step = EMBEDDING_STRIDE // POOLED
    sizes = [next_fast_len(size, real=True) for size in pooled.shape]
    product = torch.fft.rfftn(pooled, s=sizes) * torch.fft.rfftn(kernel, s=sizes).conj()
    whole: Tensor = torch.fft.irfftn(product, s=sizes)
    z, y, x = (size - kernel.shape[0] + 1 for size in pooled.shape)  # beyond lies what the transform wraps around
    return whole[:z:step, :y:step, :x:step]
