"""Files that are whole or not there, and logs that a resumed run goes on with."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a hidden name to write a file to, which becomes ``path`` at the end: there is the old or the new one.

    Folders on the way are made. What was written before an error is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """Write a file that is either the old or the new one, never half of it."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def atomic_write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) atomically."""
    atomic_write_bytes(path, text.encode())


def atomic_write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented."""
    atomic_write_text(path, json.dumps(value, indent=2) + "\n")


def log_jsonl(path: Path, record: dict[str, Any]) -> None:
    """Append one line of JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def keep_log_until(path: Path, step: int) -> None:
    """Drop the lines of a log at or after ``step``, which a resumed run is about to write again."""
    if path.exists():
        lines = [line for line in path.read_text().splitlines() if json.loads(line)["step"] < step]
        atomic_write_text(path, "".join(f"{line}\n" for line in lines))
