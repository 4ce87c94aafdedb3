"""``embed build``: tomograms into an index, one run after the other, each kept as soon as it is whole."""

import fcntl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from embed.dense import check_tile, contrast_values, embed_blocks, grid_shape
from embed.header import IndexHeader, new_header
from embed.index import INDEX_FILE, Index
from embed.shard import SUFFIXES, ShardEntry, Storage, gather, is_whole
from tomoseek.config import DataConfig
from tomoseek.errors import InputError
from tomoseek.tomograms import Tomogram, find_tomograms
from tomoseek.training import pick_device

if TYPE_CHECKING:
    from tomoseek.encoder import Encoder

SPACING_TOLERANCE = 0.1
LOCK_FILE = ".building"


@dataclass(kw_only=True, slots=True)
class BuildConfig:
    """Settings of ``embed build`` (``configs/embed_build.yaml``)."""

    data: DataConfig
    encoder: str
    index: str
    storage: Storage
    keep_fraction: float
    tile: int
    overlap: int
    batch_size: int
    device: str

    def __post_init__(self) -> None:
        check_tile(self.tile, self.overlap)
        if not 0 < self.keep_fraction <= 1:
            raise InputError(f"keep_fraction={self.keep_fraction}: expected more than 0 and at most 1")


def run(config: BuildConfig) -> None:
    """Embed every tomogram that the index does not hold yet."""
    from tomoseek.weights import (
        fingerprint,
        load_encoder,
    )  # slow to import, and `embed query` imports this file

    device = pick_device(config.device)
    encoder = load_encoder(config.encoder, device)
    tomograms = find_tomograms(config.data)
    header = new_header(
        fingerprint=fingerprint(encoder), encoder=config.encoder, encoder_config=asdict(encoder.config),
        storage=config.storage, keep_fraction=config.keep_fraction, tile=config.tile, overlap=config.overlap,
    )  # fmt: skip
    with sole_builder(Path(config.index)):
        index = open_or_create(Path(config.index), header)
        num_new = add_tomograms(index, encoder, tomograms, device, config.batch_size)
        if config.data.runs is None:
            drop_runs(index, set(index.entries) - {tomogram.run for tomogram in tomograms})
    num_vectors = sum(entry.num_vectors for entry in index.entries.values())
    num_bytes = sum(entry.num_bytes for entry in index.entries.values())
    print(
        f"index {config.index}: {len(index.entries)} runs "
        f"({num_new} new, {len(tomograms) - num_new} reused), "
        f"{num_vectors:,} vectors of {index.header.dimension}, {num_bytes / 1e6:.1f} MB "
        f"({num_bytes / 1e6 / len(index.entries):.1f} MB per tomogram)"
    )


@contextmanager
def sole_builder(folder: Path) -> Iterator[None]:
    """Keep other builders out of an index folder; the operating system lets go of it when this program ends, however.

    Raises
    ------
    InputError
        If another program builds there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"index {folder}: expected no other builder, found one at work there; wait for it, or give another "
                "index folder"
            ) from error
        yield


def drop_runs(index: Index, names: set[str]) -> None:
    """Take runs that the project no longer has out of the index, and their files off the disk."""
    for name in sorted(names):
        print(f"run {name}: no longer in the project; dropped from the index")
        entry = index.entries.pop(name)
        index.write()
        for file in entry.files:
            (index.folder / file).unlink(missing_ok=True)


def open_or_create(folder: Path, header: IndexHeader) -> Index:
    """Open the index in ``folder`` to add to it, or start one.

    Raises
    ------
    InputError
        If the index there was built by another encoder or with other settings.
    """
    if not (folder / INDEX_FILE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        return Index(folder, header, {})
    index = Index.open(folder)
    index.check_encoder(header.fingerprint, header.encoder)
    for setting in ("storage", "keep_fraction", "tile", "overlap", "stride", "dimension"):
        before, now = getattr(index.header, setting), getattr(header, setting)
        if before != now:
            raise InputError(
                f"index {folder}: it was built with {setting}={before}, found {setting}={now}; keep the "
                "setting or give another index folder"
            )
    return index


def add_tomograms(
    index: Index,
    encoder: "Encoder",
    tomograms: Sequence[Tomogram],
    device: torch.device,
    batch_size: int = 1,
    progress: bool = True,
) -> int:
    """Embed the tomograms that are new or changed into the index and return how many those were.

    A run counts only once ``index.json`` names it, which happens after its shard is whole: whenever the
    program is stopped, what the folder holds is a usable index.
    """
    header = index.header
    num_new = 0
    for tomogram in tomograms:
        _warn_about_spacing(tomogram, encoder)
        contrast = contrast_values(tomogram)
        entry = index.entries.get(tomogram.run)
        if entry is not None and is_same(entry, tomogram, contrast) and is_whole(index.folder, entry):
            print(f"run {tomogram.run}: reused, {entry.num_vectors:,} vectors")
            continue
        if entry is not None:
            print(f"run {tomogram.run}: its tomogram or its index files changed; embedding it again")
            del index.entries[tomogram.run]
            index.write()
        _remove_leftovers(index.folder, tomogram.run)
        started = time.perf_counter()
        blocks = embed_blocks(
            encoder, tomogram, tile=header.tile, overlap=header.overlap, batch_size=batch_size, device=device,
            progress=progress,
        )  # fmt: skip
        grid = grid_shape(tomogram.shape)
        shard = gather(blocks, header.dimension, Storage(header.storage), grid, header.keep_fraction)
        files = shard.save(index.folder, tomogram.run)
        index.entries[tomogram.run] = ShardEntry(
            tomogram_type=tomogram.tomogram_type, voxel_spacing=float(tomogram.voxel_spacing),
            shape=[int(size) for size in tomogram.shape], cells=list(grid), contrast=contrast,
            num_vectors=len(shard.cells_zyx), files=files, seconds=round(time.perf_counter() - started, 3),
        )  # fmt: skip
        index.write()
        num_new += 1
    return num_new


def is_same(entry: ShardEntry, tomogram: Tomogram, contrast: list[float]) -> bool:
    """Tell whether a run's entry was made from this very tomogram, by type, spacing, shape and contrast."""
    return bool(
        entry.tomogram_type == tomogram.tomogram_type
        and np.isclose(entry.voxel_spacing, tomogram.voxel_spacing)
        and tuple(entry.shape) == tuple(tomogram.shape)
        and np.allclose(entry.contrast, contrast, rtol=1e-4)
    )


def _remove_leftovers(folder: Path, run: str) -> None:
    """Drop half-written files that a stopped build left of this run."""
    for suffix in SUFFIXES:
        for path in folder.glob(f".{escape(run)}{suffix}.*.partial"):
            path.unlink()


def _warn_about_spacing(tomogram: Tomogram, encoder: "Encoder") -> None:
    expected = encoder.config.voxel_spacing
    if abs(tomogram.voxel_spacing / expected - 1) > SPACING_TOLERANCE:
        print(
            f"warning: run {tomogram.run} has {tomogram.voxel_spacing:g} Å voxels, the encoder was trained "
            f"at {expected:g} Å; to it, particles look {expected / tomogram.voxel_spacing:.2f} x their size"
        )
