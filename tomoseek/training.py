"""What every training loop shares: schedule, EMA, saved state, progress and clocks."""

import copy
import json
import math
import os
import queue
import resource
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
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


def cosine_learning_rate(step: int, num_steps: int, peak: float, warmup_steps: int, floor: float = 0.01) -> float:
    """Linear warm-up to ``peak``, then a half cosine down to ``floor * peak`` at ``num_steps``."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = min(1.0, (step - warmup_steps) / max(1, num_steps - warmup_steps))
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))


class Ema:
    """Exponential moving average of a module's parameters, warmed up so that early steps count less.

    Parameters
    ----------
    module
        The module to follow; a frozen copy is kept in ``module``.
    decay
        Weight of the past once warmed up: the decay of step ``t`` is ``min(decay, (1 + t) / (10 + t))``.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.num_updates = 0
        self.module = copy.deepcopy(module).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average towards ``module``."""
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        for average, value in zip(self.module.parameters(), module.parameters(), strict=True):
            average.lerp_(value.detach(), 1 - decay)
        for copied, buffer in zip(self.module.buffers(), module.buffers(), strict=True):
            copied.copy_(buffer)


def _flatten(value: Any, prefix: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[prefix] = value.detach().cpu().contiguous().clone()
        return {"__tensor__": prefix}
    if isinstance(value, dict):
        return {"__items__": [[k, _flatten(v, f"{prefix}/{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return [_flatten(v, f"{prefix}/{i}", tensors) for i, v in enumerate(value)]
    return value


def _unflatten(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unflatten(v, tensors) for v in value]
    if isinstance(value, dict):
        if "__tensor__" in value:
            return tensors[value["__tensor__"]]
        return {k: _unflatten(v, tensors) for k, v in value["__items__"]}
    return value


def save_state(path: Path, state: dict[str, Any], meta: dict[str, Any]) -> None:
    """Write nested dicts and lists of tensors and scalars (module or optimizer ``state_dict``) to safetensors.

    The file appears under its name only once it is whole.
    """
    tensors: dict[str, Tensor] = {}
    tree = _flatten(state, "", tensors)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, temporary, metadata={"tree": json.dumps(tree), "meta": json.dumps(meta)})
    os.replace(temporary, path)


def load_state(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what `save_state` wrote: ``(state, meta)``."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    return _unflatten(json.loads(metadata["tree"]), tensors), json.loads(metadata["meta"])


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
    """Draw from ``iterator`` in a thread, at most ``num_items`` before they are asked for."""
    ready: queue.Queue[Any] = queue.Queue(num_items)
    stop = threading.Event()
    end = object()

    def offer(value: Any) -> None:
        while not stop.is_set():
            try:
                ready.put(value, timeout=0.2)
                return
            except queue.Full:
                continue

    def fill() -> None:
        try:
            for item in iterator:
                offer(item)
                if stop.is_set():
                    return
            offer(end)
        except BaseException as error:  # handed to the consumer, who raises it
            offer(error)

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()

    def drain() -> Iterator[Item]:
        while (item := ready.get()) is not end:
            if isinstance(item, BaseException):
                raise item
            yield item

    try:
        yield drain()
    finally:
        stop.set()
        thread.join()
