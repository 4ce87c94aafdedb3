"""One run's share of the index on disk: FAISS vectors, cell positions, particle logits.

Letters: n stored cells, e embedding dimensions.
"""

import os
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from tomoseek.errors import InputError

SUFFIXES = (".faiss", ".cells.npy", ".particle.npy")


class Storage(Enum):
    """How each number of a stored vector is kept: one byte or two."""

    int8 = "int8"
    float16 = "float16"


@dataclass(kw_only=True)
class ShardEntry:
    """What ``index.json`` records of one run.

    Parameters
    ----------
    voxel_spacing
        Å.
    shape, cells
        Voxels and stride-4 cells of the tomogram, z y x.
    contrast
        Centre, scale and sign that the voxels were normalised with.
    files
        Name to ``[bytes, crc32]``.
    """

    tomogram_type: str
    voxel_spacing: float
    shape: list[int]
    cells: list[int]
    contrast: list[float]
    num_vectors: int
    files: dict[str, list[int]]
    seconds: float

    @property
    def num_bytes(self) -> int:
        """Size on disk."""
        return sum(size for size, _ in self.files.values())

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def empty_vectors(dimension: int, storage: Storage) -> faiss.IndexScalarQuantizer:
    """Make an empty inner-product index for unit vectors.

    One byte per number spans the fixed range -1 to 1: no unit vector is clipped, nothing is fitted to the
    data, so every shard of every project reads alike. The rounding moves a cosine by 0.001.
    """
    kinds = {
        Storage.int8: faiss.ScalarQuantizer.QT_8bit,
        Storage.float16: faiss.ScalarQuantizer.QT_fp16,
    }
    vectors = faiss.IndexScalarQuantizer(dimension, kinds[storage], faiss.METRIC_INNER_PRODUCT)
    vectors.train(np.stack([-np.ones(dimension), np.ones(dimension)]).astype(np.float32))
    return vectors


class Shard:
    """The stored cells of one tomogram.

    Parameters
    ----------
    vectors
        FAISS index of ``n`` unit vectors.
    cells_zyx
        ``(n, 3)`` uint16 cell positions.
    particle_logit
        ``(n,)`` particle against background.
    grid
        Number of cells along z y x.
    """

    def __init__(
        self,
        vectors: faiss.Index,
        cells_zyx: NDArray[np.uint16],
        particle_logit: NDArray[np.floating[Any]],
        grid: tuple[int, int, int],
    ) -> None:
        self.vectors = vectors
        self.cells_zyx = cells_zyx
        self.particle_logit = particle_logit.astype(np.float32)
        self.grid = grid
        self._row: NDArray[np.int32] | None = None

    @property
    def num_bytes(self) -> int:
        """Memory held, the row lookup included."""
        codes = int(self.vectors.ntotal) * int(self.vectors.sa_code_size())
        return codes + self.cells_zyx.nbytes + self.particle_logit.nbytes + 4 * int(np.prod(self.grid))

    def rows(self, cells_zyx: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return the stored row of each ``(..., 3)`` cell, -1 where outside the grid or not stored."""
        if self._row is None:
            self._row = np.full(self.grid, -1, dtype=np.int32)
            self._row[tuple(self.cells_zyx.T)] = np.arange(len(self.cells_zyx), dtype=np.int32)
        inside = np.all((cells_zyx >= 0) & (cells_zyx < np.array(self.grid)), axis=-1)
        found = self._row[tuple(np.moveaxis(np.where(inside[..., None], cells_zyx, 0), -1, 0))]
        return np.where(inside, found, -1).astype(np.int64)

    def read_vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return ``(n, e)`` decoded vectors of the given rows."""
        if len(rows) == 0:
            return np.zeros((0, self.vectors.d), dtype=np.float32)
        decoded: NDArray[np.float32] = self.vectors.reconstruct_batch(np.ascontiguousarray(rows))
        return decoded

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
        cells = np.clip(cells_zyx, 0, np.array(self.grid) - 1)
        lower = np.floor(cells).astype(np.int64)
        offsets = np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), -1).reshape(8, 3)
        corners = lower[:, None] + offsets  # (k, 8, 3)
        weights = np.where(offsets, (cells - lower)[:, None], 1 - (cells - lower)[:, None]).prod(-1)  # (k, 8)
        rows = self.rows(corners)  # (k, 8)
        weights = np.where(rows >= 0, weights, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            weights = weights / weights.sum(1, keepdims=True)
        safe = np.maximum(rows, 0)
        values = self.read_vectors(safe.ravel()).reshape(*rows.shape, -1)  # (k, 8, e)
        vectors = np.einsum("kce,kc->ke", values, weights)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        logits = (self.particle_logit[safe] * weights).sum(1)
        return vectors.astype(np.float32), logits.astype(np.float32)

    def save(self, folder: Path, run: str) -> dict[str, list[int]]:
        """Write the three files, each whole or not at all, and return name to ``[bytes, crc32]``."""
        folder.mkdir(parents=True, exist_ok=True)
        names = [run + suffix for suffix in SUFFIXES]
        partial = [folder / f".{name}.{os.getpid()}.partial" for name in names]
        faiss.write_index(self.vectors, str(partial[0]))
        for path, array in zip(partial[1:], (self.cells_zyx, self.particle_logit.astype(np.float16)), strict=True):
            with path.open("wb") as file:
                np.save(file, array, allow_pickle=False)
        files = {name: [path.stat().st_size, _crc32(path)] for name, path in zip(names, partial, strict=True)}
        for name, path in zip(names, partial, strict=True):
            os.replace(path, folder / name)
        return files

    @classmethod
    def load(cls, folder: Path, run: str, entry: ShardEntry) -> "Shard":
        """Read a run's files back.

        Raises
        ------
        InputError
            If a file is missing, has another size or checksum than ``index.json`` says, or cannot be read.
        """
        for name, (size, checksum) in entry.files.items():
            path = folder / name
            mend = "build the index again (embed build replaces this run)"
            if not path.exists():
                raise InputError(f"index file {path}: expected {size} bytes, found no file; {mend}")
            if path.stat().st_size != size:
                raise InputError(
                    f"index file {path}: expected {size} bytes, found {path.stat().st_size}: it is truncated "
                    f"or damaged; {mend}"
                )
            if _crc32(path) != checksum:
                raise InputError(f"index file {path}: its checksum is not the recorded one: it is damaged; {mend}")
        paths = [folder / (run + suffix) for suffix in SUFFIXES]
        cells_zyx = np.load(paths[1], allow_pickle=False)
        particle_logit = np.load(paths[2], allow_pickle=False)
        z, y, x = entry.cells
        return cls(faiss.read_index(str(paths[0])), cells_zyx, particle_logit, (z, y, x))


def is_whole(folder: Path, entry: ShardEntry) -> bool:
    """Tell by size whether every file of a run is there."""
    return all((folder / name).is_file() and (folder / name).stat().st_size == size
               for name, (size, _) in entry.files.items())  # fmt: skip


def gather(
    blocks: Iterable[tuple[NDArray[np.integer[Any]], NDArray[np.float32], NDArray[np.float32]]],
    dimension: int,
    storage: Storage,
    grid: tuple[int, int, int],
    keep_fraction: float,
) -> Shard:
    """Stream blocks of ``(cells_zyx, vectors, particle_logit)`` into a shard.

    With ``keep_fraction`` below 1 the cells that look least like a particle are dropped at the end, by rank
    within this tomogram: an absolute bound would empty the index of an encoder whose particle head is
    untrained.
    """
    vectors = empty_vectors(dimension, storage)
    cells: list[NDArray[np.uint16]] = []
    logits: list[NDArray[np.float16]] = []
    for cells_zyx, values, particle_logit in blocks:
        vectors.add(np.ascontiguousarray(values, dtype=np.float32))
        cells.append(cells_zyx.astype(np.uint16))
        logits.append(particle_logit.astype(np.float16))
    shard = Shard(vectors, np.concatenate(cells), np.concatenate(logits), grid)
    num_kept = max(1, round(keep_fraction * len(shard.cells_zyx)))
    if num_kept == len(shard.cells_zyx):
        return shard
    kept = np.sort(np.argsort(-shard.particle_logit, kind="stable")[:num_kept])
    dropped = np.setdiff1d(np.arange(len(shard.cells_zyx)), kept)
    vectors.remove_ids(faiss.IDSelectorBatch(dropped))
    return Shard(vectors, shard.cells_zyx[kept], shard.particle_logit[kept], grid)


def _crc32(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            checksum = zlib.crc32(block, checksum)
    return checksum
