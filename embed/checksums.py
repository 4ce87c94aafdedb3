"""Arrays on disk that are read where they are needed, each block's checksum tested when it is first touched.

zarr with CRC-32 and chunks of this size tests and copies them at each read: 2 to 6 x as slow for the first read of 5 to
100 MB, 100 x and more for the next ones, which here copy nothing or the rows alone.
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoseek.errors import InputError

BLOCK_BYTES = 1 << 18


def rows_per_block(values: NDArray[Any]) -> int:
    """Number of rows of ``(n, ...)`` values that share a checksum."""
    return max(1, BLOCK_BYTES // max(1, values[:1].nbytes))


def checksums_of(values: NDArray[Any]) -> list[int]:
    """CRC-32 of each block of ``(n, ...)`` values."""
    step = rows_per_block(values)
    return [_checksum(values[first : first + step]) for first in range(0, len(values), step)]


class CheckedRows:
    """``(n, ...)`` values, perhaps mapped from a file.

    Parameters
    ----------
    values
        The array; nothing of it is read before it is asked for.
    checksums
        Of its blocks, as `checksums_of` gives them; None for values that never left memory.
    source
        The file, for messages.
    """

    def __init__(self, values: NDArray[Any], checksums: list[int] | None = None, source: Path | None = None) -> None:
        self.values = values
        self.source = source
        self._step = rows_per_block(values)
        self._checksums = checksums or []
        self._untested = np.ones(len(self._checksums), dtype=bool)

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """Return the values of the given rows.

        Raises
        ------
        InputError
            If a block that holds one of them is not what was written.
        """
        if len(self._checksums) and len(rows):
            touched = np.zeros(len(self._checksums), dtype=bool)
            touched[rows // self._step] = True
            self._test(np.flatnonzero(touched))
        return np.take(np.asarray(self.values), rows, axis=0)  # ten times as fast as indexing with rows

    def head(self, count: int) -> NDArray[Any]:
        """Return the first ``count`` values without copying them; raises as `take` does."""
        if len(self._checksums):
            self._test(np.arange(-(-count // self._step)))
        return self.values[:count]

    def _test(self, blocks: NDArray[np.int64]) -> None:
        for block in blocks[self._untested[blocks]]:
            part = self.values[block * self._step : (block + 1) * self._step]
            if _checksum(part) != self._checksums[block]:
                raise InputError(
                    f"index file {self.source}: its checksum is not the recorded one: it is damaged; "
                    "delete its folder and run embed build again"
                )
            self._untested[block] = False


def _checksum(values: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(values).data)
