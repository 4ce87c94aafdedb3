"""What is known of one encoder, or of the controls, kept as JSON: what is there is not measured again."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tomoseek.files import atomic_write_json
from tomoseek.provenance import code_version, processor_name
from tomoseek.running import CPU_BFLOAT16, cpu_flags


@dataclass
class Record:
    """Measured parts by name, in a file.

    Attributes
    ----------
    folder
        Where ``record.json`` lies, and pictures beside it.
    about
        What was measured.
    """

    folder: Path
    about: dict[str, Any]
    parts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.is_file():
            self.parts = json.loads(self.path.read_text())["parts"]

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "record.json"

    def has(self, part: str) -> bool:
        """Tell whether a part was measured."""
        return part in self.parts

    def measure(self, part: str, compute: Callable[[], Any]) -> Any:
        """Return the result of a part, measured now and written down unless it was before."""
        if not self.has(part):
            start = time.perf_counter()
            self.keep(part, compute(), time.perf_counter() - start)
        return self.parts[part]["result"]

    def keep(self, part: str, result: Any, seconds: float) -> None:
        """Write a part down."""
        self.parts[part] = {
            "result": result,
            "seconds": round(seconds, 1),
            "machine": f"{processor_name()}, {'a' if CPU_BFLOAT16 & cpu_flags() else 'no'} bfloat16 unit, "
            f"{torch.get_num_threads()} threads",
            **code_version(),
        }
        atomic_write_json(self.path, {**self.about, "parts": self.parts})

    def __str__(self) -> str:
        seconds = sum(part["seconds"] for part in self.parts.values())
        machines = " and ".join(dict.fromkeys(part["machine"] for part in self.parts.values()))
        return f"{seconds:.0f} s on {machines}; {self.path}"
