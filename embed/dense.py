"""Dense embeddings of a whole tomogram, a slab at a time.

Letters: b tiles, e embedding dimensions, n cells; z y x voxels, or cells of ``EMBEDDING_STRIDE`` voxels.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from tomoseek.errors import InputError
from tomoseek.network.strides import COARSEST_STRIDE, EMBEDDING_STRIDE
from tomoseek.running import autocast
from tomoseek.tomograms.tiling import Window, iterate_slabs
from tomoseek.tomograms.tomogram import Tomogram

if TYPE_CHECKING:  # the encoder's library takes seconds to import, and a query does without it
    from tomoseek.network.encoder import Encoder

Block = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]


def grid_shape(shape_zyx: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the number of cells that cover a tomogram, a partial last cell included."""
    z, y, x = (-(-size // EMBEDDING_STRIDE) for size in shape_zyx)
    return z, y, x


def embed_blocks(
    encoder: "Encoder",
    tomogram: Tomogram,
    *,
    tile: int,
    overlap: int,
    batch_size: int,
    device: torch.device,
    progress: bool = True,
    counting: NDArray[np.bool_] | None = None,
) -> Iterator[Block]:
    """Embed a tomogram and yield it block by block; every cell that counts comes exactly once, in z y x order.

    Parameters
    ----------
    counting
        ``(z, y, x)``: which cells count; None: all. Only the box that holds them is embedded.

    Yields
    ------
    ``(n, 3)`` cells, ``(n, e)`` unit vectors, ``(n,)`` particle logits.

    Raises
    ------
    InputError
        If the encoder gives values that are not finite.
    """
    dimension = encoder.config.embedding_dim

    def embedding_and_logit(volume: Tensor) -> Tensor:
        with autocast(device):
            return torch.cat(encoder.embed(volume), dim=1)  # b e+1 z/4 y/4 x/4

    window = None if counting is None else Window(tomogram, counting, EMBEDDING_STRIDE)
    slabs = iterate_slabs(
        window or tomogram,
        embedding_and_logit,
        tile=(tile,) * 3,
        overlap=overlap,
        stride=EMBEDDING_STRIDE,
        num_channels=dimension + 1,
        batch_size=batch_size,
        device=device,
        progress=progress,
    )
    try:
        for first, slab in slabs:
            for offset in range(slab.shape[1]):
                layer = rearrange(slab[:, offset], "c y x -> (y x) c")  # n e+1
                vectors, logits = layer[:, :dimension], layer[:, dimension]
                norms = np.linalg.norm(vectors, axis=1, keepdims=True)
                _, _, y, x = slab.shape
                cells = np.stack(np.meshgrid(first + offset, np.arange(y), np.arange(x), indexing="ij"), -1)
                cells, vectors = cells.reshape(-1, 3), vectors / np.maximum(norms, 1e-6)
                if window is None or counting is None:
                    yield cells, vectors, logits
                    continue
                cells = cells + window.first_cell
                kept = counting[tuple(cells.T)]
                yield cells[kept], vectors[kept], logits[kept]
    except RuntimeError as error:
        if "finite" in str(error):
            raise InputError(
                f"run {tomogram.run}: expected finite embeddings, found NaN or infinity; check the encoder"
            ) from error
        raise


def check_tile(tile: int, overlap: int) -> None:
    """Check tile and overlap against each other and the encoder's alignment.

    Raises
    ------
    InputError
        If the tile is no multiple of 8, or the overlap not less than half of it.
    """
    if tile < COARSEST_STRIDE or tile % COARSEST_STRIDE or not 0 <= overlap <= tile // 2:
        raise InputError(
            f"tile={tile} overlap={overlap}: expected a tile of a multiple of {COARSEST_STRIDE} voxels and an "
            "overlap of at most half of it; try tile=96 overlap=16"
        )


def contrast_values(tomogram: Tomogram) -> list[float]:
    """Return centre, scale and sign of the contrast, which tell one volume from another in the index."""
    contrast = tomogram.contrast
    return [float(contrast.centre), float(contrast.scale), float(contrast.sign)]
