"""Tomograms are embedded into the index, each claimed by one process and kept as soon as it is whole."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

from embed.dense import check_tile, contrast_values, embed_blocks, grid_shape
from embed.entry import ShardEntry, check_ours, entry_or_none, remove_run
from embed.gather import gather
from embed.header import new_header
from embed.index import INDEX_FILE, Index
from embed.shard import Storage
from embed.shells import shell_densities
from tomoseek.config import Polarity
from tomoseek.errors import InputError
from tomoseek.messages import warn
from tomoseek.network.encoder import Encoder
from tomoseek.network.weights import fingerprint, load_encoder
from tomoseek.running import pick_device
from tomoseek.tomograms.polarity import contradiction, estimate_polarity
from tomoseek.tomograms.tomogram import Tomogram

CLAIMS = ".claims"


def start_index(
    kind: type[Index], folder: Path, source: str | Path | Encoder, storage: Storage, keep_fraction: float, tile: int,
    overlap: int, resample: str | float | None, device_name: str,
) -> Index:  # fmt: skip
    """Start an index, or open the one that is there, ready to add to it; see `Index.create`."""
    check_tile(tile, overlap)
    device = pick_device(device_name)
    if isinstance(source, Encoder):
        encoder, words = source.eval().to(device), "an encoder in memory"
    else:
        encoder, words = load_encoder(source, device), str(source)
    header = new_header(
        encoder, words, storage=storage, keep_fraction=keep_fraction, tile=tile, overlap=overlap, resample=resample
    )  # fmt: skip
    with claim(folder, INDEX_FILE, wait=True):
        if not (folder / INDEX_FILE).exists():
            kind(folder, header, {}).write_header()
        index = kind.open(folder, repairing=True)
        index.check_encoder(header.fingerprint, header.encoder)
        for setting in ("storage", "keep_fraction", "tile", "overlap", "resample", "stride", "dimension"):
            before, now = getattr(index.header, setting), getattr(header, setting)
            if before != now:
                raise InputError(
                    f"index {folder}: it was built with {setting}={before}, found {setting}={now}; keep the "
                    "setting or give another index folder"
                )
        if index.header.constants != header.constants:  # the encoder was calibrated meanwhile
            index.header.constants = header.constants
            index.write_header()
    index.use(encoder, device)
    return index


def encoder_of(index: Index) -> tuple[Encoder, torch.device]:
    """Load the encoder that built an index.

    Raises
    ------
    InputError
        If it is not to be had any more, or is another now.
    """
    device = pick_device("auto")
    encoder = load_encoder(index.header.encoder, device)
    index.check_encoder(fingerprint(encoder), index.header.encoder)
    return encoder, device


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


def add_tomogram(
    index: Index, encoder: Encoder, tomogram: Tomogram, device: torch.device, batch_size: int = 1, progress: bool = True
) -> bool:
    """Embed a tomogram into the index and tell whether that was necessary; see `Index.add`.

    A run's folder appears in the index when it is whole: whenever the program is stopped, what is there is a usable
    index.
    """
    tomogram = tomogram.resampled(index.header.resample, encoder.config.voxel_spacing)
    if mismatch := tomogram.unfamiliar_spacing(encoder.config.voxel_spacing, "the encoder"):
        warn(mismatch)
    with claim(index.folder, tomogram.run) as mine:
        if not mine:
            print(f"run {tomogram.run}: another builder is embedding it")
            return False
        return embed_claimed(index, encoder, tomogram, device, batch_size, progress)


def embed_claimed(
    index: Index, encoder: Encoder, tomogram: Tomogram, device: torch.device, batch_size: int, progress: bool
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
            warn_if_inverted(tomogram, entry.polarity_seen)
            return False
        print(f"run {tomogram.run}: its tomogram or its index files changed; embedding it again")
    started = time.perf_counter()
    seen = estimate_polarity(tomogram.stored, tomogram.stored.voxel_spacing)
    polarity_seen = seen.value if seen else None
    warn_if_inverted(tomogram, polarity_seen)
    counting = tomogram.counting_cells(header.stride)
    if counting is not None:
        print(f"run {tomogram.run}: {counting.mean():.0%} of it is searched: {part_of(tomogram)}")
    blocks = embed_blocks(
        encoder, tomogram, tile=header.tile, overlap=header.overlap, batch_size=batch_size, device=device,
        progress=progress, counting=counting,
    )  # fmt: skip
    grid = grid_shape(tomogram.shape)
    shells = shell_densities(tomogram, device)
    shard = gather(blocks, header.dimension, Storage(header.storage), grid, header.keep_fraction, shells)
    index.entries[tomogram.run] = shard.save(
        folder, tomogram_type=tomogram.tomogram_type, voxel_spacing=float(tomogram.voxel_spacing),
        shape=[int(size) for size in tomogram.shape], stored_spacing=float(tomogram.stored.voxel_spacing),
        stored_shape=[int(size) for size in tomogram.stored.shape], part=part_of(tomogram), contrast=contrast,
        polarity_seen=polarity_seen, seconds=round(time.perf_counter() - started, 3),
    )  # fmt: skip
    return True


def warn_if_inverted(tomogram: Tomogram, polarity_seen: str | None) -> None:
    """Warn where protein looks otherwise than stated."""
    if polarity_seen not in (None, tomogram.polarity.value):
        warn(f"run {tomogram.run}: {contradiction(Polarity(polarity_seen), tomogram.polarity)}")


def part_of(tomogram: Tomogram) -> str:
    """Say in words what of a tomogram is searched."""
    parts = [str(tomogram.part)] if tomogram.part is not None else []
    parts += ["what is not blank"] if tomogram.stored.blank_value is not None else []
    return ", ".join(parts) or "all of it"


def is_same(entry: ShardEntry, tomogram: Tomogram, contrast: list[float]) -> bool:
    """Tell whether a run's entry was made from this very tomogram, by type, spacing, shape and contrast."""
    return bool(
        entry.tomogram_type == tomogram.tomogram_type
        and np.isclose(entry.voxel_spacing, tomogram.voxel_spacing)
        and tuple(entry.shape) == tuple(tomogram.shape)
        and tuple(entry.stored_shape) == tuple(tomogram.stored.shape)
        and entry.part == part_of(tomogram)
        and np.allclose(entry.contrast, contrast, rtol=1e-4)
    )
