"""One run's share of the index on disk: a folder of FAISS vectors, their cells, particle logits and densities.

A search looks at particle-like cells and those around them, so that these come first: rows lie by the highest
particle logit among a cell and its 26 neighbours. A search reads the head of each file and never the rest; files are
mapped, not loaded.

Letters: n stored cells, e embedding dimensions, s shells.
"""

import os
import shutil
from bisect import bisect_right
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from embed.checksums import CheckedRows, checksums_of
from embed.density_profile import STEP
from embed.entry import ENTRY_FILE, ShardEntry, remove_run
from tomoseek.errors import InputError
from tomoseek.files import atomic_write_json

VECTORS, ARRAYS = "vectors.faiss", ("cells.npy", "rows.npy", "particle.npy", "around.npy", "shells.npy")
FILES = (VECTORS, *ARRAYS)
FEW, MORE = 8_000, 4  # rows asked of FAISS at first, and so many times more as long as that is not enough


class Storage(Enum):
    """How each number of a stored vector is kept: one byte or two."""

    int8 = "int8"
    float16 = "float16"


CODES = {Storage.int8: faiss.ScalarQuantizer.QT_8bit, Storage.float16: faiss.ScalarQuantizer.QT_fp16}


def empty_vectors(dimension: int, storage: Storage) -> faiss.IndexScalarQuantizer:
    """Make an empty inner-product index for unit vectors.

    One byte per number spans the fixed range -1 to 1: no unit vector is clipped, nothing is fitted to the
    data, so every shard of every project reads alike. The rounding moves a cosine by 0.001.
    """
    vectors = faiss.IndexScalarQuantizer(dimension, CODES[storage], faiss.METRIC_INNER_PRODUCT)
    vectors.train(np.stack([-np.ones(dimension), np.ones(dimension)]).astype(np.float32))
    return vectors


def codes_of(vectors: faiss.IndexScalarQuantizer) -> NDArray[np.uint8]:
    """View the ``(n, bytes)`` codes of an index, without a copy."""
    codes: NDArray[np.uint8] = faiss.rev_swig_ptr(vectors.codes.data(), vectors.codes.size())
    return codes.reshape(vectors.ntotal, -1)


class Shard:
    """The stored cells of one tomogram, the most particle-like first.

    Parameters
    ----------
    vectors
        FAISS index of ``n`` unit vectors.
    cells
        ``(n,)`` int32: the cell of each row, counted in z y x order.
    rows
        int32: the row of each cell of the grid, -1 where none is stored.
    particle
        ``(n,)`` float16 logits of particle against background.
    around
        ``(n,)`` float16: the highest logit among a cell and its neighbours; falling.
    shells
        ``(n, s)`` int8: densities around each cell, see `embed.shells.shell_densities`.
    grid
        Number of cells along z y x.
    checksums
        File name to the checksums of its blocks; None for a shard that never left memory.
    folder
        Where the files are.
    """

    def __init__(
        self,
        vectors: faiss.IndexScalarQuantizer,
        cells: NDArray[np.int32],
        rows: NDArray[np.int32],
        particle: NDArray[np.float16],
        around: NDArray[np.float16],
        shells: NDArray[np.int8],
        grid: tuple[int, int, int],
        checksums: dict[str, list[int]] | None = None,
        folder: Path = Path(),
    ) -> None:
        self.vectors = vectors
        self.storage = next(storage for storage, kind in CODES.items() if kind == vectors.sq.qtype)
        self.grid = grid
        arrays: tuple[NDArray[Any], ...] = (codes_of(vectors), cells, rows, particle, around, shells)
        self._codes, self._cells, self._rows, self._particle, self._around, self._shells = (
            CheckedRows(array, None if checksums is None else checksums[name], folder / name)
            for name, array in zip(FILES, arrays, strict=True)
        )

    def __len__(self) -> int:
        return len(self._cells)

    def rows(self, cells_zyx: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return the stored row of each ``(..., 3)`` cell, -1 where outside the grid or not stored."""
        axes = np.moveaxis(cells_zyx, -1, 0)
        inside = np.logical_and.reduce(
            [(axis >= 0) & (axis < size) for axis, size in zip(axes, self.grid, strict=True)]
        )
        flat = np.ravel_multi_index(tuple(np.where(inside, axis, 0) for axis in axes), self.grid)
        found = self._rows.take(flat.ravel()).reshape(flat.shape)
        return np.where(inside, found, -1).astype(np.int64)

    def rows_around(self, cells_zyx: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
        """Return the rows ``(n, 27)`` of the cells at and around ``(n, 3)`` fractional ones, -1 for none."""
        around = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3)
        return self.rows(np.rint(cells_zyx).astype(np.int64)[:, None] + around)

    def cells_zyx(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the ``(n, 3)`` cells of the given rows."""
        return np.stack(np.unravel_index(self._cells.take(rows), self.grid), -1)

    def particle_logit(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the ``(n,)`` particle logits of the given rows."""
        return self._particle.take(rows).astype(np.float32)

    def read_vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return ``(n, e)`` decoded vectors of the given rows."""
        if len(rows) == 0:
            return np.zeros((0, self.vectors.d), dtype=np.float32)
        decoded: NDArray[np.float32] = self.vectors.sa_decode(self._codes.take(rows))
        return decoded

    def read_shells(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return ``(n, s)`` densities around the given rows, in robust standard deviations of the tomogram."""
        return self._shells.take(rows) * np.float32(STEP)

    def num_around(self, floor: float) -> int:
        """Number of rows with a particle logit of at least ``floor`` in them or beside them: the first so many."""
        around = self._around.head(len(self))
        return bisect_right(around, -floor, key=lambda logit: -float(logit))

    def rows_above(self, floor: float) -> NDArray[np.int64]:
        """Return the rows whose own particle logit is at least ``floor``."""
        return np.flatnonzero(self._particle.head(self.num_around(floor)).astype(np.float32) >= floor)

    def nearest(
        self, direction: NDArray[np.float32], count: int, floor: float, lowest: float = -np.inf
    ) -> NDArray[np.int64]:
        """Return the rows nearest to a direction ``(e,)``, nearest first.

        Parameters
        ----------
        count
            Most rows.
        floor
            Lowest particle logit of a row.
        lowest
            Lowest inner product of a row.
        """
        rows = self.rows_above(floor)
        count = min(count, len(rows))
        if not count:
            return rows[:0]
        searched = empty_vectors(self.vectors.d, self.storage)
        searched.add_sa_codes(self._codes.take(rows))  # twice as fast as a selection within the whole
        asked = count if lowest == -np.inf else min(FEW, count)
        while True:  # FAISS ranks few rows ten times as fast as many, and its range search is slower than either
            products, found = (each[0] for each in searched.search(direction[None], asked))
            if asked == count or products[-1] < lowest:
                return np.asarray(rows[found[products >= lowest]], dtype=np.int64)
            asked = min(MORE * asked, count)

    def interpolate(self, cells_zyx: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read vectors and particle logits at fractional cells, trilinear over the stored corners.

        Parameters
        ----------
        cells_zyx
            ``(k, 3)``.

        Returns
        -------
        ``(k, e)`` unit vectors and ``(k,)`` logits; NaN rows where none of the eight corners is stored.
        """
        rows, weights = self._corners(cells_zyx)
        values = self.read_vectors(rows.ravel()).reshape(*rows.shape, -1)  # (k, 8, e)
        vectors = np.einsum("kce,kc->ke", values, weights)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors.astype(np.float32), self.interpolate_logit(cells_zyx)

    def interpolate_logit(self, cells_zyx: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Read the ``(k,)`` particle logits alone, as `interpolate` does."""
        rows, weights = self._corners(cells_zyx)
        logits: NDArray[np.float64] = (self.particle_logit(rows.ravel()).reshape(rows.shape) * weights).sum(1)
        return logits.astype(np.float32)

    def interpolate_shells(self, cells_zyx: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Read the ``(k, s)`` densities around fractional cells, as `interpolate` does."""
        rows, weights = self._corners(cells_zyx)
        shells = self.read_shells(rows.ravel()).reshape(*rows.shape, -1)  # (k, 8, s)
        mean: NDArray[np.float32] = np.einsum("kcs,kc->ks", shells, weights).astype(np.float32)
        return mean

    def _corners(self, cells_zyx: NDArray[np.floating[Any]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the stored rows around ``(k, 3)`` fractional cells and their weights, ``(k, 8)`` each."""
        cells = np.clip(cells_zyx, 0, np.array(self.grid) - 1)
        lower = np.floor(cells).astype(np.int64)
        offsets = np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), -1).reshape(8, 3)
        weights = np.where(offsets, (cells - lower)[:, None], 1 - (cells - lower)[:, None]).prod(-1)  # (k, 8)
        rows = self.rows(lower[:, None] + offsets)  # (k, 8)
        weights = np.where(rows >= 0, weights, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.maximum(rows, 0), weights / weights.sum(1, keepdims=True)

    def save(self, folder: Path, **described: Any) -> ShardEntry:
        """Write a run's folder, whole or not at all, in place of one of the same name.

        Parameters
        ----------
        folder
            The run's folder in the index.
        described
            The rest of its `ShardEntry`.
        """
        partial = folder.parent / f".{folder.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)  # what a killed build left; the caller has claimed the run
        partial.mkdir(parents=True)
        faiss.write_index(self.vectors, str(partial / VECTORS))
        checked = (self._codes, self._cells, self._rows, self._particle, self._around, self._shells)
        arrays = {name: rows.values for name, rows in zip(FILES, checked, strict=True)}
        for name in ARRAYS:
            np.save(partial / name, arrays[name], allow_pickle=False)
        entry = ShardEntry(
            cells=list(self.grid), num_vectors=len(self),
            sizes={name: (partial / name).stat().st_size for name in FILES},
            checksums={name: checksums_of(array) for name, array in arrays.items()}, **described,
        )  # fmt: skip
        atomic_write_json(partial / ENTRY_FILE, asdict(entry))
        remove_run(folder)
        os.replace(partial, folder)
        return entry

    @classmethod
    def load(cls, folder: Path, entry: ShardEntry) -> "Shard":
        """Map a run's files.

        Raises
        ------
        InputError
            If a file is missing, has another size than ``entry.json`` says, or cannot be read. Damage of another
            kind is found where it is read.
        """
        for name, size in entry.sizes.items():
            path = folder / name
            found = path.stat().st_size if path.exists() else None
            if found != size:
                what = "no file" if found is None else f"{found}: it is truncated or damaged"
                raise InputError(f"index file {path}: expected {size} bytes, found {what}; run embed build again")
        try:
            vectors: Any = faiss.read_index(str(folder / VECTORS), faiss.IO_FLAG_MMAP_IFC)
            cells, rows, particle, around, shells = (
                np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in ARRAYS
            )
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[-1]
            raise InputError(f"index folder {folder} is damaged ({reason}); delete it and run embed build") from error
        z, y, x = entry.cells
        return cls(vectors, cells, rows, particle, around, shells, (z, y, x), entry.checksums, folder)
