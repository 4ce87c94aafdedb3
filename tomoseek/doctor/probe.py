"""How long the next steps will take here, from a probe of some seconds with the encoder that comes along.

A few tiles are embedded and a few training steps taken, on noise; the times are extrapolated to all tiles of all
tomograms, overlaps included. Settings are the defaults of the commands, as their YAML says.
"""

import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple, Self

import psutil
import torch
import yaml

from tomoseek.config import CONFIG_DIR, DataConfig
from tomoseek.doctor.findings import Finding, Level
from tomoseek.doctor.projects import nearest_folder
from tomoseek.network.encoder import Encoder
from tomoseek.network.strides import EMBEDDING_STRIDE
from tomoseek.network.weights import load_encoder
from tomoseek.running import autocast, pick_device
from tomoseek.tomograms.resample import wanted_spacing
from tomoseek.tomograms.tiling import plan_axis

# Time of encoder and decoder together over that of the encoder: processor time on an AMD EPYC, float32, one thread.
DECODER_PREDICTS, DECODER_LEARNS = 1.3, 1.55
HEATMAP_STRIDE = 2
BYTES_BESIDE_VECTOR = 13  # of a cell of an index: where it is, and how particle-like
SHORTEST = 1.0  # seconds
SAMPLE_SECONDS = 0.02
HOW_FORECAST = (
    "From some seconds of computing on this machine, as busy as it is now, extrapolated to all tiles of all tomograms, "
    "with the default settings; good to about a factor of two. A training ends earlier with max_minutes=10, say."
)
USUAL_SHAPE, USUAL_SPACING = (184, 630, 630), 10.0
Shape = tuple[int, int, int]


class Step(NamedTuple):
    """What a command will take.

    Parameters
    ----------
    command
        As it is typed.
    seconds
        On this machine, if nothing else runs.
    memory_gb
        At most at a time.
    disk_gb
        Of what it writes.
    what
        What it does it to.
    """

    command: str
    seconds: float
    memory_gb: float
    disk_gb: float
    what: str


class Memory:
    """Memory of this process in GB: before, and the most while something runs."""

    before_gb = peak_gb = 0.0

    def __enter__(self) -> Self:
        self.before_gb = self.peak_gb = self._used()
        self._done = Event()
        self._watcher = Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self.peak_gb = max(self.peak_gb, self._used())

    @staticmethod
    def _used() -> float:
        return float(psutil.Process().memory_info().rss) / 1e9


def forecast(data: DataConfig, tomograms: Sequence[tuple[Shape, float]]) -> list[Step]:
    """Measure, and say what embedding, training and picking will take.

    Parameters
    ----------
    data
        At which voxel spacing tomograms are read.
    tomograms
        Shape z y x in voxels and voxel spacing in Å, of each; where there are none, one of the usual size is meant.

    Returns
    -------
    One entry per command.
    """
    build, train, predict = (_defaults(name) for name in ("embed_build", "finetune_train", "finetune_predict"))
    device = pick_device("auto")
    encoder = load_encoder("shipped", device)
    shapes = [
        resampled_shape(shape, spacing, data.resample, encoder.config.voxel_spacing)
        for shape, spacing in tomograms or [(USUAL_SHAPE, USUAL_SPACING)]
    ]
    tile, overlap = (int(build["tile"]),) * 3, int(build["overlap"])
    with Memory() as embedding:
        per_voxel = _seconds_of_embedding(encoder, device, tile) / math.prod(tile)
    with Memory() as learning:
        per_step = _seconds_of_step(encoder, device, train["crops"]["size"], int(train["batch_size"]))
    network_gb, dimension = embedding.peak_gb, encoder.config.embedding_dim
    learning_gb = learning.before_gb + DECODER_LEARNS * (learning.peak_gb - learning.before_gb)
    cells = sum(math.prod(-(-n // EMBEDDING_STRIDE) for n in shape) for shape in shapes)
    detect = predict["detect"] or train["detect"]
    large, many = max(shapes, key=math.prod), f"{len(tomograms)} tomogram{'s' if len(tomograms) > 1 else ''}"
    if not tomograms:
        many = f"a tomogram of {' x '.join(map(str, USUAL_SHAPE))} voxels"
    num_steps, num_held_out = int(train["num_steps"]), max(1, len(shapes) // 4)
    picking = DECODER_PREDICTS * per_voxel
    per_tomogram = picking * voxels_of_tiles(shapes, detect["tile"], int(detect["overlap"])) / len(shapes)
    return [
        Step(
            "embed build", per_voxel * voxels_of_tiles(shapes, tile, overlap),
            network_gb + _row_gb(large, tile, dimension + 1, EMBEDDING_STRIDE),
            cells * (dimension + BYTES_BESIDE_VECTOR) / 1e9, many,
        ),
        Step(
            "finetune train", num_steps * DECODER_LEARNS * per_step + num_held_out * per_tomogram,
            learning_gb + min(float(train["crops"]["cache_gb"]), 2 * sum(map(math.prod, shapes)) / 1e9), 0.1,
            f"{num_steps} steps, then {num_held_out} held out",
        ),
        Step(
            "finetune predict", per_tomogram * len(shapes),
            network_gb + _row_gb(large, detect["tile"], 6, HEATMAP_STRIDE), 0.01 * len(shapes), many,
        ),
    ]  # fmt: skip


def spoken(seconds: float) -> str:
    """``7500`` -> ``2.1 h``; no more digits than it is good to."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.2g} h"


def tell_steps(steps: Sequence[Step], out_dir: Path) -> Iterator[Finding]:
    """Report what the next commands will take, and whether there is room for it."""
    numbers: dict[str, Any]
    for step in steps:
        numbers = {"seconds": round(step.seconds, 2), "memory_gb": round(step.memory_gb, 2), "disk_gb": step.disk_gb}
        text = (
            f"{step.command}: about {spoken(step.seconds)}, at most {step.memory_gb:.1f} GB of memory, "
            f"{step.disk_gb:.2g} GB of disk ({step.what})"
        )
        yield Finding(Level.fine, "forecast", text, None, numbers)
    here = nearest_folder(out_dir)
    free, needed = shutil.disk_usage(here).free / 1e9, sum(step.disk_gb for step in steps)
    if free < needed:
        text = f"{free:.1f} GB of disk are free in {here}, and the next commands write about {needed:.1f} GB"
        yield Finding(Level.warning, "forecast", text)
    available, most = psutil.virtual_memory().available / 1e9, max(step.memory_gb for step in steps)
    if available < most:
        text = f"{available:.1f} GB of memory are free, and the next commands take up to {most:.1f} GB"
        yield Finding(Level.warning, "forecast", text)


def _defaults(name: str) -> dict[str, Any]:
    """Settings of a command, as its YAML has them."""
    return dict(yaml.safe_load((CONFIG_DIR / f"{name}.yaml").read_text()))


def resampled_shape(shape: Shape, spacing: float, resample: str | float | None, known: float) -> Shape:
    """Shape z y x of a tomogram as a network that learned at ``known`` Å per voxel sees it."""
    wanted = wanted_spacing(spacing, resample, known) or spacing
    z, y, x = (max(1, round(n * spacing / wanted)) for n in shape)
    return z, y, x


def voxels_of_tiles(shapes: Iterable[Shape], tile: Iterable[int], overlap: int) -> int:
    """Voxels of all tiles of all tomograms; where they overlap, voxels count more than once."""
    total = 0
    for shape in shapes:
        axes = [plan_axis(n, edge, overlap, EMBEDDING_STRIDE) for n, edge in zip(shape, tile, strict=True)]
        total += math.prod(len(axis.starts) * axis.tile for axis in axes)
    return total


def _row_gb(shape: Shape, tile: Iterable[int], num_channels: int, stride: int) -> float:
    """Memory of a row of tiles, its input and its output, float32."""
    voxels = next(iter(tile)) * shape[1] * shape[2]
    return 4 * voxels * (1 + num_channels / stride**3) / 1e9


def _seconds_of_embedding(encoder: Encoder, device: torch.device, tile: Shape) -> float:
    """Seconds to embed a tile."""
    volume = torch.randn(1, 1, *tile, device=device)

    def embed() -> None:
        with torch.inference_mode(), autocast(device):
            encoder.embed(volume)

    return _seconds(embed, device)


def _seconds_of_step(encoder: Encoder, device: torch.device, size: list[int], batch_size: int) -> float:
    """Seconds of a training step of the encoder alone."""
    volume = torch.randn(batch_size, 1, *size, device=device)
    encoder.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-6)

    def learn() -> None:
        with autocast(device):
            maps = encoder(volume)
        loss = sum(each.float().square().mean() for each in (maps.stride2, maps.stride4, maps.stride8))
        assert isinstance(loss, torch.Tensor)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return _seconds(learn, device)


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    """Shortest time of a piece of work, which is repeated for a second, or done twice: the first time warms up."""
    times: list[float] = []
    while len(times) < 2 or sum(times) < SHORTEST:
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times)
