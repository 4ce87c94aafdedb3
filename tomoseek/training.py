"""What every training loop shares: schedule, moving average of the weights, saved state and when it is saved."""

import ctypes
import json
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from safetensors import safe_open
from safetensors.torch import save_file
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from tomoseek.files import atomic_path

SECONDS_BETWEEN_STATES = 60.0
# mallopt(3): trim the top of the heap only beyond so many bytes, grow it by so many, never map a block by itself.
MALLOC_OPTIONS = {-1: 2**31 - 1, -2: 2**28, -4: 0}
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)  # what a batch system sends to a job it wants back, and Ctrl-C


def keep_freed_memory() -> None:
    """Let glibc keep what a step has freed for the next one, instead of handing it back and asking for it anew.

    Every step of a training on a CPU allocates the same hundreds of megabytes. Handed back in between, they come as
    fresh pages that the kernel has to clear: a tenth of the time. The process stays as large as its largest step. Other
    C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in MALLOC_OPTIONS.items():
            mallopt(option, value)


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
        The module to follow; a frozen copy is kept in ``module``, whose buffers are copied and not averaged.
    decay
        Weight of the past once warmed up: the decay of step ``t`` is ``min(decay, (1 + t) / (10 + t))``.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._average = ModelEmaV3(
            module, decay, use_warmup=True, warmup_gamma=9.0, warmup_power=1.0, exclude_buffers=True
        )
        self.module: nn.Module = self._average.module.requires_grad_(False)
        self.num_updates = 0

    def update(self, module: nn.Module) -> None:
        """Move the average towards ``module``."""
        self.num_updates += 1
        self._average.update(module, step=self.num_updates + 2)  # timm's decay of step s is (s - 1) / (s + 8)


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
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"tree": json.dumps(tree), "meta": json.dumps(meta)})


def load_state(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what `save_state` wrote: ``(state, meta)``."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    return _unflatten(json.loads(metadata["tree"]), tensors), json.loads(metadata["meta"])


class StateKeeper:
    """Have the state of a training saved by the clock, at its end, and once more when the process is told to end.

    A context around the loop. While it is open, SIGTERM and SIGINT have the state saved and then end the process, with
    exit code 143 and with KeyboardInterrupt; in a thread other than the main one, which gets no signals, only the clock
    counts. An error that leaves the loop saves nothing, so that the state before it is kept.

    Parameters
    ----------
    save
        Writes the state as it is now.
    every_seconds
        How old a saved state may get, plus one step.

    Examples
    --------
    >>> weights, saved = [0, 0], []
    >>> with StateKeeper(lambda: saved.append(list(weights)), every_seconds=0) as keeper:
    ...     for step in range(2):
    ...         with keeper.change():  # a signal waits until these belong together
    ...             weights[0] += 1
    ...             weights[1] += 1
    ...         keeper.save_if_due()
    >>> saved
    [[1, 1], [2, 2], [2, 2]]
    """

    def __init__(self, save: Callable[[], None], every_seconds: float = SECONDS_BETWEEN_STATES) -> None:
        self._save, self._every_seconds = save, every_seconds
        self._changing = False
        self._received: signal.Signals | None = None
        self._earlier: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._earlier = {each: signal.signal(each, self._receive) for each in ENDING_SIGNALS}
        self._saved_at = time.monotonic()
        return self

    @contextmanager
    def change(self) -> Iterator[None]:
        """Let nothing be saved half changed: a signal that comes meanwhile has its effect afterwards."""
        self._changing = True
        try:
            yield
        finally:
            self._changing = False
        if self._received:
            self._end(self._received)

    def save_if_due(self) -> None:
        """Save if the last saved state is old enough."""
        if time.monotonic() - self._saved_at >= self._every_seconds:
            self._save()
            self._saved_at = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for each in self._earlier:
            signal.signal(each, signal.SIG_IGN)  # a second one must not interrupt the saving
        try:
            if kind is None or self._received:
                self._save()
            if self._received:
                print(f"stopped by {self._received.name}; the same command goes on from here", file=sys.stderr)
        finally:
            for each, handler in self._earlier.items():
                signal.signal(each, handler)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self._received = signal.Signals(number)
        if not self._changing:
            self._end(self._received)

    @staticmethod
    def _end(received: signal.Signals) -> NoReturn:
        raise KeyboardInterrupt if received is signal.SIGINT else SystemExit(128 + received)
