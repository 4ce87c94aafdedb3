"""One damaged file read in a process of its own, which may neither hang, nor take much memory, nor write."""

import hashlib
import multiprocessing
import os
import resource
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch

from benchmarks.fuzz.kinds import Kind
from tomoseek.errors import InputError

SELF = Path(__file__).resolve()
ROOT = SELF.parents[2]
MEMORY = 10**9  # bytes that reading may take on top
SECONDS = 20.0
READ, REFUSED, FAULT = "read", "refused", "fault"

_context = multiprocessing.get_context("fork")


class Outcome(NamedTuple):
    """What became of one damaged file: read, refused or a fault, why, and the traceback of a fault."""

    seed: int
    what: str
    reason: str
    details: str = ""


def outcomes(name: str, kind: Kind, seeds: Iterable[int], seconds: float = SECONDS) -> Iterator[Outcome]:
    """Damage a sound folder once for each seed, and read it.

    Raises
    ------
    RuntimeError
        When the sound folder cannot be read.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "files")
        folder.mkdir()
        kind.make(folder)
        sound = _try(kind.use, folder, seconds)
        if sound[0] != READ:
            raise RuntimeError(f"{name}: expected sound files to be read, found {sound[1]}\n{sound[2]}")
        for seed in seeds:
            path, content = kind.draw(folder, Random(f"{name} {seed}"))
            clean = path.read_bytes()
            path.write_bytes(content)
            before = _contents(folder)
            what, reason, details = _try(kind.use, folder, seconds)
            after = _contents(folder)
            path.write_bytes(clean)
            if before != after:
                changed = sorted(file for file in before | after if before.get(file) != after.get(file))
                what, reason = FAULT, f"changed {changed[0]}"
            yield Outcome(seed, what, reason, details)


def _contents(folder: Path) -> dict[str, str]:
    """Return a digest of every file, and the folders."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


def _try(use: Callable[[Path], object], folder: Path, seconds: float) -> tuple[str, str, str]:
    """Read in a fork of this process."""
    receiver, sender = _context.Pipe(duplex=False)
    process = _context.Process(target=_read, args=(use, folder, sender))
    process.start()
    sender.close()
    try:
        found: tuple[str, str, str] = receiver.recv() if receiver.poll(seconds) else (FAULT, "hangs", "")
    except EOFError:
        process.join()
        number = -(process.exitcode or 0)
        return FAULT, f"killed by {signal.Signals(number).name}" if number > 0 else "ended without a word", ""
    finally:
        process.kill()
        process.join()
        receiver.close()
    return found


def _read(use: Callable[[Path], object], folder: Path, sender: Connection) -> None:
    """Read under limits, and send what became of it."""
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    os.chdir(folder.parent)
    torch.set_num_threads(1)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        use(folder)
    except (InputError, FileNotFoundError) as error:
        if "\n" in str(error):
            sender.send((FAULT, f"several lines of {_named(error)}", traceback.format_exc()))
        elif _wanted_memory(error):
            sender.send((FAULT, f"too much memory before {_named(error)}", traceback.format_exc()))
        else:
            sender.send((REFUSED, str(error), ""))
    except BaseException as error:
        sender.send((FAULT, _named(error), traceback.format_exc()))
    else:
        sender.send((READ, "", ""))


def _wanted_memory(error: BaseException | None) -> bool:
    """Say whether an error came of memory that could not be had."""
    while error is not None:
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _named(error: BaseException) -> str:
    """Kind of an error, and the last line of the project that led to it."""
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    ours = [(file, line) for file, line in frames if file.is_relative_to(ROOT) and file != SELF]
    where = f" at {ours[-1][0].relative_to(ROOT)}:{ours[-1][1]}" if ours else ""
    return f"{type(error).__name__}{where}"
