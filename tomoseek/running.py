"""What every command needs while it runs: a device, its number format, progress, clocks and a look ahead."""

import os
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

PRECISION_VARIABLE = "TOMOSEEK_PRECISION"
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
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
    """Return the number format in which ``device`` computes networks.

    GPUs: bfloat16, or float16 where they lack it. CPUs: bfloat16 where they have a unit for it (AVX512-BF16, AMX, Arm's
    BF16), else float32: without one torch still computes in bfloat16, correctly and many times slower. The environment
    variable ``TOMOSEEK_PRECISION`` names another one, for all commands.

    Raises
    ------
    InputError
        If ``TOMOSEEK_PRECISION`` names what is no format, or none that ``device`` can compute in.
    """
    wanted = os.environ.get(PRECISION_VARIABLE) or "auto"
    if wanted == "auto":
        return fastest_precision(device)
    if wanted not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise InputError(
            f"{PRECISION_VARIABLE}: expected auto, {known}, found '{wanted}'; set one of these, or unset it"
        )
    dtype = PRECISIONS[wanted]
    impossible = dtype is torch.float16 and device.type == "cpu"
    impossible |= dtype is torch.bfloat16 and device.type == "cuda" and not torch.cuda.is_bf16_supported()
    if impossible:
        raise InputError(
            f"{PRECISION_VARIABLE}: expected a format that the {device.type} can compute in, found '{wanted}'; "
            "set float32, or unset it"
        )
    return dtype


def fastest_precision(device: torch.device) -> torch.dtype:
    """Return the fastest format at no loss, whatever the user may wish."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if CPU_BFLOAT16 & cpu_flags() else torch.float32


def describe_precision(device: torch.device) -> str:
    """Say in half a line in which format ``device`` computes networks, and why.

    Raises
    ------
    InputError
        As `precision`.
    """
    used, fastest = precision(device), fastest_precision(device)
    unit = "GPU" if device.type == "cuda" else "CPU"
    has = "has a" if fastest is torch.bfloat16 else "has no"
    if used is fastest:
        return f"networks in {name_of(used)}: this {unit} {has} unit for bfloat16"
    return (
        f"networks in {name_of(used)}, as {PRECISION_VARIABLE} says; {name_of(fastest)} is the fastest on this {unit}"
    )


def name_of(dtype: torch.dtype) -> str:
    """``torch.float32`` -> ``float32``."""
    return str(dtype).removeprefix("torch.")


def loss_scaler(device: torch.device) -> torch.amp.GradScaler:
    """Return what keeps small gradients from vanishing in float16; it does nothing in other formats."""
    return torch.amp.GradScaler(device.type, enabled=precision(device) is torch.float16)


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
