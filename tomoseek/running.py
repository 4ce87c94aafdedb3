"""What every command needs while it runs: a device, its number format, progress, clocks and a look ahead."""

import resource
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Self, TypeVar, cast

import torch
from tqdm import tqdm

from tomoseek.errors import InputError

Item = TypeVar("Item")

CPU_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def pick_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` is the GPU when there is one.

    Raises
    ------
    InputError
        If a GPU is asked for and none is there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device: expected a CUDA GPU for '{name}', found none; use device=cpu or device=auto")
    return torch.device(name)


def precision(device: torch.device) -> torch.dtype:
    """Return the number format in which ``device`` computes networks fastest at no loss.

    GPUs: bfloat16, or float16 where they lack it. CPUs: bfloat16 where they have a unit for it (AVX512-BF16, AMX, Arm's
    BF16), else float32: without one torch still computes in bfloat16, correctly and many times slower.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if CPU_BFLOAT16 & cpu_flags() else torch.float32


@cache
def cpu_flags() -> frozenset[str]:
    """Return the instruction sets that Linux says this CPU has; none elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    flags = [line.partition(":")[2].split() for line in lines if line.lower().startswith(("flags", "features"))]
    return frozenset(flags[0]) if flags else frozenset()


def autocast(device: torch.device) -> torch.autocast:
    """Compute in `precision` on ``device`` where that loses nothing."""
    dtype = precision(device)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


class Progress(tqdm):  # type: ignore[misc]
    """tqdm that redraws one line in a terminal and prints a line every 15 s elsewhere."""

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Draw the bar."""
        if sys.stderr.isatty():
            return bool(super().display(msg, pos))
        print(msg or str(self), file=sys.stderr, flush=True)
        return True


def progress(
    iterable: Iterable[Item], description: str, unit: str = "it", total: int | None = None, initial: int = 0
) -> "Progress":
    """Iterate with rate and time left on standard error."""
    interval = 0.2 if sys.stderr.isatty() else 15.0
    return Progress(
        iterable, desc=description, unit=unit, total=total, initial=initial, mininterval=interval,
        miniters=1 if sys.stderr.isatty() else None, dynamic_ncols=True,
    )  # fmt: skip


class Stopwatch:
    """Wall time in seconds and peak memory in GB (this process or its largest finished child)."""

    seconds: float = 0.0
    peak_memory_gb: float = 0.0

    def __enter__(self) -> Self:
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        used = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        self.peak_memory_gb = used * 1024 / 1e9


@contextmanager
def ahead(iterator: Iterator[Item], num_items: int = 2) -> Iterator[Iterator[Item]]:
    """Draw from ``iterator`` in a thread, at most ``num_items`` before they are asked for; errors come in their place.

    A thread, for it shares the GPU and the volumes in memory; torch's DataLoader with one worker process takes 18 ms
    more for a batch of 8 crops of 64 voxels a side (two cores).
    """
    end = object()
    with ThreadPoolExecutor(max_workers=1) as thread:
        upcoming = deque(thread.submit(next, iterator, end) for _ in range(num_items))

        def drain() -> Iterator[Item]:
            while (item := upcoming.popleft().result()) is not end:
                upcoming.append(thread.submit(next, iterator, end))
                yield cast(Item, item)

        try:
            yield drain()
        finally:
            thread.shutdown(cancel_futures=True)
