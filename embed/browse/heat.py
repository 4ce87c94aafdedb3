"""Likeness to the examples as colour over a plane, clear where there is none."""

import io
from collections import OrderedDict
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

from embed.index import Index
from embed.promise import LOWEST_SCORE
from embed.search import Found, maps_of
from tomoseek.geometry import voxel_to_cell

COLOR = (255, 70, 0)
MOST_OPAQUE = 190  # of 255
LIKE_EXAMPLES = 1.0  # score of the mean example
KEPT = 4  # runs

Bytes = NDArray[np.uint8]


class Heat:
    """The scores that a search gives every place, of the runs that were looked at last.

    Parameters
    ----------
    index
        That was searched.
    found
        The search.
    """

    def __init__(self, index: Index, found: Found) -> None:
        self._index, self._found = index, found
        self._levels: OrderedDict[str, Bytes] = OrderedDict()
        self._lock = Lock()

    def plane(self, run: str, axis: int, place: int) -> bytes:
        """Draw a plane as PNG, voxel by voxel of the tomogram as it is stored, first row at the bottom.

        Parameters
        ----------
        axis
            That the plane lies across, of z y x.
        place
            Of the plane, in voxels.
        """
        entry, stride = self._index.entries[run], self._index.header.stride
        stored = self._index.frame(run)
        levels = self._of(run)
        coarser = stored.voxel_spacing / entry.voxel_spacing
        cells = [voxel_to_cell(np.arange(n) * coarser, stride) for n in stored.shape]
        layer = int(np.clip(np.rint(cells[axis][place]), 0, levels.shape[axis] - 1))
        across = np.meshgrid(*(each for k, each in enumerate(cells) if k != axis), indexing="ij")
        drawn = map_coordinates(levels.take(layer, axis), across, order=1, mode="nearest")
        picture = Image.fromarray(np.ascontiguousarray(drawn[::-1]), "P")
        picture.putpalette(COLOR * 256)
        buffer = io.BytesIO()
        opaque = bytes(MOST_OPAQUE * level // 255 for level in range(256))
        picture.save(buffer, "PNG", transparency=opaque, compress_level=1)
        return buffer.getvalue()

    def _of(self, run: str) -> Bytes:
        """Return the scores of a run ``(z, y, x)``, from 0 where nothing is searched to 255 for the mean example."""
        with self._lock:
            if run not in self._levels:
                found = self._found
                scores, _ = maps_of(
                    self._index.shard(run), found.prototype, LOWEST_SCORE, found.least_logit, density=found.density
                )
                share = (scores - LOWEST_SCORE) / (LIKE_EXAMPLES - LOWEST_SCORE)
                self._levels[run] = (255 * np.clip(share, 0, 1)).astype(np.uint8)
            self._levels.move_to_end(run)
            while len(self._levels) > KEPT:
                self._levels.popitem(last=False)
            return self._levels[run]
