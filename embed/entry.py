"""What the index records of one run, beside its vectors: enough to tell whether they are whole and still wanted."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tomoseek.errors import InputError

ENTRY_FILE = "entry.json"


@dataclass(kw_only=True)
class ShardEntry:
    """What ``entry.json`` records of one run.

    Parameters
    ----------
    voxel_spacing
        Å, of the voxels that were embedded.
    shape, cells
        Voxels and stride-4 cells of the tomogram as it was embedded, z y x.
    stored_spacing, stored_shape
        The same of its file: another where it was resampled.
    part
        What of it was embedded, in words.
    contrast
        Centre, scale and sign that the voxels were normalised with.
    polarity_seen
        How protein looks in the stored values, dark or bright; None where that cannot be told.
    sizes
        File name to bytes.
    checksums
        File name to CRC-32 of each block of rows, see `embed.checksums`.
    """

    tomogram_type: str
    voxel_spacing: float
    shape: list[int]
    cells: list[int]
    stored_spacing: float
    stored_shape: list[int]
    part: str
    contrast: list[float]
    num_vectors: int
    seconds: float
    sizes: dict[str, int]
    checksums: dict[str, list[int]]
    polarity_seen: str | None = None

    @property
    def num_bytes(self) -> int:
        """Size on disk."""
        return sum(self.sizes.values())

    def is_whole(self, folder: Path) -> bool:
        """Tell by size whether every file of the run is there."""
        return all((folder / name).is_file() and (folder / name).stat().st_size == size
                   for name, size in self.sizes.items())  # fmt: skip


def read_entry(folder: Path) -> ShardEntry:
    """Read ``entry.json`` of a run's folder.

    Raises
    ------
    InputError
        If it is missing or damaged.
    """
    path = folder / ENTRY_FILE
    try:
        return ShardEntry(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"index file {path} is missing or damaged ({error}); run embed build again") from error


def entry_or_none(folder: Path) -> ShardEntry | None:
    """Read ``entry.json``, or return None where it cannot be."""
    try:
        return read_entry(folder)
    except InputError:
        return None


def check_ours(folder: Path) -> None:
    """Check that a folder in the way of a run, if there is one, was made by ``embed build``.

    Raises
    ------
    InputError
        If it holds something else, which must not be deleted.
    """
    if folder.exists() and not (folder / ENTRY_FILE).is_file():
        raise InputError(
            f"index {folder.parent}: expected a folder of its own, found '{folder.name}' in it, which embed "
            "build did not make; give another index folder"
        )


def remove_run(folder: Path) -> None:
    """Take a run's folder out of the index: gone at once, then deleted; raises as `check_ours` does."""
    check_ours(folder)
    if folder.exists():
        stale = folder.parent / f".{folder.name}.stale"
        shutil.rmtree(stale, ignore_errors=True)
        os.replace(folder, stale)
        shutil.rmtree(stale)
