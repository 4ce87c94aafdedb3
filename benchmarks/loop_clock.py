"""Time the real loop of `pretrain`, step by step, on batches from wherever they shall come."""

import contextlib
import io
import time
from collections.abc import Iterator
from unittest.mock import patch

import torch
from torch import Tensor

import pretrain.loop
from pretrain.assemblies import AssemblyCrops, Scene
from pretrain.config import PretrainConfig
from pretrain.loop import Batches

Batch = dict[str, Tensor]


class ClockedAssemblies(AssemblyCrops):
    """Assembly crops that note how long each new pair of tomograms took."""

    def __init__(self, config: PretrainConfig, rank: int, device: torch.device) -> None:
        super().__init__(config, rank, device)
        self.seconds: dict[int, float] = {}

    def pair(self, number: int) -> tuple[Scene, Scene]:
        """Return a pair; a number not met before is simulated now."""
        start = time.perf_counter()
        scenes = super().pair(number)
        self.seconds.setdefault(number, time.perf_counter() - start)
        return scenes


class Clocked:
    """Batches of another source; notes how long each took."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.seconds: list[float] = []

    def batch(self, step: int) -> Batch:
        """Draw the batch of a step."""
        start = time.perf_counter()
        batch = self.batches.batch(step)
        self.seconds.append(time.perf_counter() - start)
        return batch


class Repeated:
    """One batch, again and again."""

    def __init__(self, batch: Batch) -> None:
        self.kept = batch

    def batch(self, step: int) -> Batch:
        """Return it."""
        return self.kept


class StepClock:
    """Stands in for the loop's progress bar, and notes when each step begins, and when the last ends."""

    disable = True

    def __init__(self, steps: range) -> None:
        self.steps = steps
        self.begun: list[float] = []

    def __iter__(self) -> Iterator[int]:
        for step in self.steps:
            self.begun.append(time.perf_counter())
            yield step
        self.begun.append(time.perf_counter())

    def set_postfix_str(self, *_: object, **__: object) -> None:
        """Show nothing."""


def loop_seconds(config: PretrainConfig, batches: Batches, warmup: int) -> tuple[float, float]:
    """Run the loop of `pretrain` on a source of batches.

    Returns
    -------
    tuple
        Mean seconds of a step, and of drawing its batch, after ``warmup`` steps. The mean, because a new pair of
        tomograms delays one step for many. On a GPU batches are drawn while earlier ones train.
    """
    source = Clocked(batches)
    clock = StepClock(range(config.num_steps))
    build = pretrain.loop.build_stage
    with (
        patch.object(pretrain.loop, "progress", lambda *_: clock),
        patch.object(pretrain.loop, "save_state"),
        patch.object(pretrain.loop, "build_stage", lambda *arguments: (build(*arguments)[0], source)),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        pretrain.loop.run(config)
    steps = config.num_steps - warmup
    return (clock.begun[-1] - clock.begun[warmup]) / steps, sum(source.seconds[warmup:]) / steps
