"""Volume files that a packer made smaller: told by their first bytes, unpacked into a temporary file to be mapped."""

import bz2
import gzip
import lzma
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tomoseek.errors import InputError
from tomoseek.messages import warn

_BLOCK = 1 << 22
_LARGE = 200e6  # bytes; below that, unpacking takes a second or two
_SHARE_OF_ROOM = 0.9


class Packer(NamedTuple):
    """A packer: its first bytes, the ends of names it gives, and how to open its files where we can."""

    name: str
    magic: bytes
    suffixes: tuple[str, ...]
    open: Callable[[Path], Any] | None


PACKERS = (
    Packer("gzip", b"\x1f\x8b", (".gz",), gzip.open),
    Packer("bzip2", b"BZh", (".bz2",), bz2.open),
    Packer("xz", b"\xfd7zXZ\x00", (".xz",), lzma.open),
    Packer("zip", b"PK\x03\x04", (".zip",), None),
    Packer("zstd", b"\x28\xb5\x2f\xfd", (".zst", ".zstd"), None),
    Packer("7-zip", b"7z\xbc\xaf\x27\x1c", (".7z",), None),
    Packer("lz4", b"\x04\x22\x4d\x18", (".lz4",), None),
    Packer("compress", b"\x1f\x9d", (".z",), None),
    Packer("rar", b"Rar!", (".rar",), None),
)


def split_name(path: Path) -> tuple[str, str]:
    """Split the name of a volume file into what to call the volume, and the lower-case end that tells its format.

    Parameters
    ----------
    path
        The end of a packer does not count, nor does ``.ome``: ``TS_1.mrc.gz`` gives ``TS_1`` and ``.mrc``.
    """
    packed = path.suffix.lower() in {suffix for packer in PACKERS for suffix in packer.suffixes}
    bare = Path(path.stem) if packed else Path(path.name)
    stem = bare.stem
    return (stem[:-4] if stem.lower().endswith(".ome") else stem), bare.suffix.lower()


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Give a file as it is or, where a packer made it, unpacked into a temporary file.

    The temporary file loses its name at the end; what is mapped from it stays, and its room comes back with the
    process.

    Parameters
    ----------
    path
        The file, which exists; its first bytes decide, not its name.

    Raises
    ------
    InputError
        When it is damaged, of a packer that is not read, or larger than the room for temporary files.
    """
    with path.open("rb") as file:
        start = file.read(8)
    packer = next((one for one in PACKERS if start.startswith(one.magic)), None)
    if packer is None:
        yield path
        return
    if packer.open is None:
        raise InputError(f"expected a volume in {path}, found a file packed by {packer.name}: unpack it first")
    folder = Path(tempfile.gettempdir())
    room = shutil.disk_usage(folder).free * _SHARE_OF_ROOM
    with tempfile.NamedTemporaryFile(dir=folder, prefix="tomoseek-", suffix=path.suffix) as whole:
        size = 0
        try:
            with packer.open(path) as file:
                while block := file.read(_BLOCK):
                    size += len(block)
                    if size > room:
                        raise InputError(
                            f"expected {path} to fit into {room / 1e9:.1f} GB of {folder}, found more: unpack it "
                            f"({packer.name}), or name another folder for temporary files in TMPDIR"
                        )
                    whole.write(block)
                whole.flush()
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise InputError(
                f"expected a whole {packer.name} file in {path}, found {error}: copy the file again"
            ) from error
        if size > _LARGE:
            warn(
                f"{path} was unpacked into {size / 1e9:.1f} GB of {folder}, as every command has to do anew; unpack it "
                "once to save the time"
            )
        yield Path(whole.name)
