"""``embed build``: tomograms into an index, one run after the other, each kept as soon as it is whole.

Any number of builders share the work, on one machine or many: each claims a run before it embeds it.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from filelock import FileLock, Timeout

from embed.dense import check_tile, contrast_values, embed_blocks, grid_shape
from embed.entry import ShardEntry, check_ours, entry_or_none, remove_run
from embed.header import IndexHeader, new_header
from embed.index import INDEX_FILE, Index, indexed_runs
from embed.shard import Storage, gather
from tomoseek.config import DataConfig
from tomoseek.errors import InputError
from tomoseek.messages import listed, warn
from tomoseek.running import pick_device
from tomoseek.tomograms.copick_tomograms import find_tomograms
from tomoseek.tomograms.tomogram import Tomogram

if TYPE_CHECKING:
    from tomoseek.network.encoder import Encoder

CLAIMS = ".claims"


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
    """Embed every tomogram that the index does not hold yet; of several processes, each its share."""
    from accelerate import PartialState

    from tomoseek.network.weights import load_encoder  # slow to import, and `embed query` imports this file

    device = pick_device(config.device)
    processes = PartialState(cpu=device.type == "cpu")
    device = processes.device if processes.num_processes > 1 else device
    encoder = load_encoder(config.encoder, device)
    tomograms = find_tomograms(config.data)
    header = new_header(
        encoder, config.encoder, storage=config.storage, keep_fraction=config.keep_fraction, tile=config.tile,
        overlap=config.overlap,
    )  # fmt: skip
    folder = Path(config.index)
    index = open_or_create(folder, header)
    share = tomograms[processes.process_index :: processes.num_processes]
    add_tomograms(index, encoder, share, device, config.batch_size)
    processes.wait_for_everyone()
    if processes.is_main_process:
        names = {tomogram.run for tomogram in tomograms}
        if config.data.runs is None:
            drop_runs(folder, set(indexed_runs(folder)) - names)
        report(Index.open(folder), names)
    processes.destroy_process_group()


def report(index: Index, names: set[str]) -> None:
    """Say what the index holds and what it still lacks."""
    entries = index.entries.values()
    num_vectors, num_bytes = sum(entry.num_vectors for entry in entries), sum(entry.num_bytes for entry in entries)
    print(
        f"index {index.folder}: {len(entries)} runs, {num_vectors:,} vectors of {index.header.dimension}, "
        f"{num_bytes / 1e6:.1f} MB ({num_bytes / 1e6 / max(len(entries), 1):.1f} MB per tomogram)"
    )
    if missing := sorted(names - set(index.entries)):
        warn(f"another builder still has {listed(missing)}; the index lacks them until it is done")


@contextmanager
def claim(folder: Path, name: str, wait: bool = False) -> Iterator[bool]:
    """Claim a run, or another part of the index, for this builder; False when another one has it.

    The operating system lets go of a claim when its program ends, however it ends.

    Parameters
    ----------
    wait
        Until it is free, instead of giving up.
    """
    (folder / CLAIMS).mkdir(parents=True, exist_ok=True)
    try:
        claimed = FileLock(folder / CLAIMS / name).acquire(blocking=wait)
    except Timeout:
        yield False
        return
    with claimed:
        yield True


def drop_runs(folder: Path, names: set[str]) -> None:
    """Take runs that the project no longer has out of the index, and their files off the disk."""
    for name in sorted(names):
        with claim(folder, name) as mine:
            if mine:
                print(f"run {name}: no longer in the project; dropped from the index")
                remove_run(folder / name)


def open_or_create(folder: Path, header: IndexHeader) -> Index:
    """Open the index in ``folder`` to add to it, or start one. Runs that cannot be read count as not there.

    Raises
    ------
    InputError
        If the index there was built by another encoder or with other settings.
    """
    with claim(folder, INDEX_FILE, wait=True):
        if not (folder / INDEX_FILE).exists():
            Index(folder, header, {}).write_header()
    index = Index.open(folder, repairing=True)
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

    A run's folder appears in the index when it is whole: whenever the program is stopped, what is there is a usable
    index. Runs that another builder is embedding at this moment are left to it.
    """
    num_new = 0
    for tomogram in tomograms:
        if mismatch := tomogram.unfamiliar_spacing(encoder.config.voxel_spacing, "the encoder"):
            warn(mismatch)
        with claim(index.folder, tomogram.run) as mine:
            if not mine:
                print(f"run {tomogram.run}: another builder is embedding it")
            elif embed_claimed(index, encoder, tomogram, device, batch_size, progress):
                num_new += 1
    return num_new


def embed_claimed(
    index: Index, encoder: "Encoder", tomogram: Tomogram, device: torch.device, batch_size: int, progress: bool
) -> bool:
    """Embed one claimed tomogram, unless the index holds it, and tell whether that was necessary."""
    header, folder = index.header, index.folder / tomogram.run
    check_ours(folder)
    contrast = contrast_values(tomogram)
    if folder.exists():
        entry = entry_or_none(folder)  # another builder may have written it since the index was opened
        if entry is not None and is_same(entry, tomogram, contrast) and entry.is_whole(folder):
            print(f"run {tomogram.run}: reused, {entry.num_vectors:,} vectors")
            index.entries[tomogram.run] = entry
            return False
        print(f"run {tomogram.run}: its tomogram or its index files changed; embedding it again")
    started = time.perf_counter()
    blocks = embed_blocks(
        encoder, tomogram, tile=header.tile, overlap=header.overlap, batch_size=batch_size, device=device,
        progress=progress,
    )  # fmt: skip
    grid = grid_shape(tomogram.shape)
    shard = gather(blocks, header.dimension, Storage(header.storage), grid, header.keep_fraction)
    index.entries[tomogram.run] = shard.save(
        folder, tomogram_type=tomogram.tomogram_type, voxel_spacing=float(tomogram.voxel_spacing),
        shape=[int(size) for size in tomogram.shape], contrast=contrast,
        seconds=round(time.perf_counter() - started, 3),
    )  # fmt: skip
    return True


def is_same(entry: ShardEntry, tomogram: Tomogram, contrast: list[float]) -> bool:
    """Tell whether a run's entry was made from this very tomogram, by type, spacing, shape and contrast."""
    return bool(
        entry.tomogram_type == tomogram.tomogram_type
        and np.isclose(entry.voxel_spacing, tomogram.voxel_spacing)
        and tuple(entry.shape) == tuple(tomogram.shape)
        and np.allclose(entry.contrast, contrast, rtol=1e-4)
    )
