"""How fast encoders train and embed, beside what the machine could do and beside MONAI's masked autoencoder.

    python -m benchmarks.speed.encoder --threads 2 --device cpu
    python -m benchmarks.speed.encoder --only training monai --sizes small --steps 3 --warmup 1

Prints the Markdown tables of benchmarks/results/speed_encoder.md, which says what each column is. The comparison needs
MONAI, which nothing else here does: ``pip install --no-deps monai``.
"""

import argparse
import contextlib
import io
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn

from benchmarks.speed.machine import Machine, Work, count_work, describe, measure_machine, step_seconds, wait
from pretrain.assemblies import AssemblyCrops
from pretrain.config import PretrainConfig, StageName
from pretrain.loop import Batches, parameter_groups
from pretrain.masked import TOKEN, MaskedAutoencoder, cut
from pretrain.masked_crops import MaskedCrops
from pretrain.metric import MetricLearner
from tomoseek.command_line import compose_settings
from tomoseek.network.encoder import Encoder
from tomoseek.network.strides import EMBEDDING_STRIDE
from tomoseek.running import autocast, pick_device
from tomoseek.simulate.command import SimulateConfig
from tomoseek.simulate.command import run as simulate
from tomoseek.tomograms.tiling import plan_axis

TOMOGRAM, TILE, OVERLAP = (184, 630, 630), 96, 16
Batch = dict[str, Tensor]
Rows = Iterator[list[str]]


def print_table(title: str, rows: Rows) -> None:
    """Print a Markdown table under its title, each row as soon as it is measured; the first is the header."""
    header = next(rows)
    print(f"\n### {title}\n\n| {' | '.join(header)} |\n{'|---' * len(header)}|", flush=True)
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


class Bench:
    """What all parts share: arguments, device, measured machine, one batch of each stage."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments = arguments
        self.folder = folder
        self.device = pick_device(arguments.device)
        self.machine: Machine = measure_machine(self.device)
        self.assemblies = AssemblyCrops(self.config("small", "metric"), 0, self.device)

    @cached_property
    def project(self) -> Path:
        """Two simulated tomograms with both halves."""
        with contextlib.redirect_stdout(io.StringIO()):
            words = [f"out_dir={self.folder / 'project'}", "num_runs=2", f"device={self.arguments.device}"]
            simulate(compose_settings("simulate", SimulateConfig, words))
        return self.folder / "project" / "copick.json"

    @cached_property
    def batches(self) -> dict[str, Batch]:
        """One batch of each stage."""
        masked = MaskedCrops(self.config("small", "masked"), 0)
        return {"masked": masked.batch(0), "metric": self.assemblies.batch(0)}

    def config(self, size: str, stage: str, *words: str) -> PretrainConfig:
        """Return the settings of a run; the masked stage reads both halves of the project's tomograms."""
        fixed = [f"stage={stage}", f"model={size}", f"device={self.arguments.device}", "warmup_steps=1"]
        fixed += ["log_every=1000000", "resume=false"]
        if stage == "masked":
            fixed += [f"data.project={self.project}", "half_types=[wbp-even,wbp-odd]"]
        batch_size = self.arguments.batch_size
        if size == "base":
            batch_size = min(batch_size, self.arguments.base_batch_size)
        return compose_settings("pretrain", PretrainConfig, [*fixed, f"batch_size={batch_size}", *words])

    def batch(self, config: PretrainConfig) -> Batch:
        """Return the repeated batch, on the device."""
        batch = self.batches[config.stage.value]
        return {key: value[: config.batch_size].to(self.device) for key, value in batch.items()}

    def time(self, *steps: Callable[[], object]) -> list[float]:
        """Median seconds of each, taken by turns."""
        return step_seconds(list(steps), self.arguments.warmup, self.arguments.steps, self.device)

    def rates(self, work: Work, seconds: float) -> list[str]:
        """Fill the columns from GFLOP/s on: rate, its share of bf16 products, both floors' share of the time."""
        arithmetic, transfer = work.flops / self.machine.bf16, work.traffic / self.machine.bandwidth
        shares = [f"{arithmetic / seconds:.0%}", f"{work.traffic / 1e9:.1f}", f"{transfer / seconds:.0%}"]
        return [f"{work.flops / seconds / 1e9:.0f}", *shares]


RATES = ["GFLOP/s", "of bf16 products", "GB through operators", "of the time at copy speed"]


def training_step(model: nn.Module, weight_decay: float, device: torch.device) -> Callable[[Batch], None]:
    """Forward, backward and AdamW on a batch, as the loop does them."""
    model = model.to(device).train()
    optimizer = torch.optim.AdamW(parameter_groups(model, weight_decay), lr=1e-4)

    def step(batch: Batch) -> None:
        with autocast(device):
            loss = model(batch)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def stage_model(config: PretrainConfig) -> nn.Module:
    """Build the model of a stage around a fresh encoder."""
    torch.manual_seed(0)
    encoder = Encoder(config.model)
    if config.stage is StageName.masked:
        return MaskedAutoencoder(encoder, config.crop, config.masked)
    return MetricLearner(encoder, config.metric)


def machine(bench: Bench) -> Rows:
    """What the machine can do."""
    yield ["bf16 products, GFLOP/s", "fp32 products, GFLOP/s", "copy, GB/s"]
    yield [f"{rate / 1e9:.0f}" for rate in bench.machine]


def training(bench: Bench) -> Rows:
    """Training steps of both stages."""
    yield ["model", "stage", "batch", "s per step", "crops/s", "GFLOP per crop", *RATES]
    for size in bench.arguments.sizes:
        for stage in ("masked", "metric"):
            config = bench.config(size, stage)
            step = partial(training_step(stage_model(config), config.weight_decay, bench.device), bench.batch(config))
            (seconds,), work = bench.time(step), count_work(step)
            crops = config.batch_size
            row = [size, stage, f"{crops}", f"{seconds:.3f}", f"{crops / seconds:.2f}"]
            yield [*row, f"{work.flops / crops / 1e9:.2f}", *bench.rates(work, seconds)]


def inference(bench: Bench) -> Rows:
    """`Encoder.embed` over one tile, and what that makes for a whole tomogram."""
    tiles = math.prod(len(plan_axis(length, TILE, OVERLAP, EMBEDDING_STRIDE).starts) for length in TOMOGRAM)
    whole = f"s for {' x '.join(map(str, TOMOGRAM))} ({tiles} tiles)"
    yield ["model", "s per tile", "Mvoxel/s", whole, "GFLOP per tile", *RATES]
    for size in bench.arguments.sizes:
        encoder = Encoder(bench.config(size, "metric").model).to(bench.device).eval()
        volume = torch.randn(1, 1, TILE, TILE, TILE, device=bench.device)

        @torch.no_grad()
        def embed(encoder: Encoder = encoder, volume: Tensor = volume) -> None:
            with autocast(bench.device):
                encoder.embed(volume)

        (seconds,), work = bench.time(embed), count_work(embed)
        row = [size, f"{seconds:.3f}", f"{TILE**3 / seconds / 1e6:.2f}", f"{tiles * seconds:.0f}"]
        yield [*row, f"{work.flops / 1e9:.1f}", *bench.rates(work, seconds)]


def pipeline(bench: Bench) -> Rows:
    """Mean seconds of a step on each new batch, not drawn ahead even on a GPU, and on the same batch once more."""
    yield ["stage", "s per step, one batch", "s per step, real batches", "of these: batches", "ratio"]
    warmup, steps = bench.arguments.warmup, bench.arguments.pipeline_steps
    for stage in ("masked", "metric"):
        config = bench.config("small", stage)
        source: Batches = MaskedCrops(config, 0) if stage == "masked" else bench.assemblies
        if stage == "metric":
            for number in range(config.metric.pool):
                bench.assemblies.pair(number)  # the pool of a run that has been going on
        train = training_step(stage_model(config), config.weight_decay, bench.device)
        taken = {"one": 0.0, "real": 0.0, "batches": 0.0}
        for step in range(warmup + steps):
            begun = time.perf_counter()
            drawn = source.batch(step)
            ready = time.perf_counter()
            batch = {key: value.to(bench.device) for key, value in drawn.items()}
            train(batch)
            wait(bench.device)
            middle = time.perf_counter()
            train(batch)
            wait(bench.device)
            if step >= warmup:
                taken["batches"] += ready - begun
                taken["real"] += middle - begun
                taken["one"] += time.perf_counter() - middle
        one, real, batches = (taken[key] / steps for key in ("one", "real", "batches"))
        yield [stage, f"{one:.3f}", f"{real:.3f}", f"{batches:.3f}", f"{one / real:.2f}"]


class MonaiAutoencoder(nn.Module):
    """MONAI's masked autoencoder in the sizes of ours: linear patches, mean squared error of the hidden ones."""

    def __init__(self, config: PretrainConfig, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        try:
            from monai.networks.nets import MaskedAutoEncoderViT
        except ImportError as error:
            raise SystemExit("the comparison needs MONAI: pip install --no-deps monai, or leave out monai") from error
        model, masked = config.model, config.masked
        self.network = MaskedAutoEncoderViT(
            in_channels=1, img_size=config.crop, patch_size=patch_size, masking_ratio=masked.mask_ratio,
            hidden_size=model.width, mlp_dim=4 * model.width, num_layers=model.depth, num_heads=model.num_heads,
            decoder_hidden_size=masked.decoder_width, decoder_mlp_dim=4 * masked.decoder_width,
            decoder_num_layers=masked.decoder_depth, decoder_num_heads=masked.decoder_heads,
        )  # fmt: skip
        # Under autocast MONAI writes bfloat16 tokens among its float32 mask tokens, which torch refuses.
        self.network.decoder_embed.register_forward_hook(lambda _module, _inputs, tokens: tokens.float())

    def forward(self, batch: Batch) -> Batch:
        """Compute the loss of a batch."""
        rebuilt, hidden = self.network(batch["input"][:, None])  # b t patch_size^3, b t
        target = rearrange(cut(batch["target"], self.patch_size), "b t i j k -> b t (i j k)")
        squared = (rebuilt.float() - target).square().mean(-1)
        return {"loss": (squared * hidden).sum() / hidden.sum()}


def monai(bench: Bench) -> Rows:
    """Steps of our masked stage and of MONAI's autoencoder, by turns."""
    header = ["model", "masked autoencoder", "M parameters", "batch", "GFLOP per crop", "crops/s"]
    yield [*header, "times MONAI's, 8³", "times MONAI's, 4³"]
    for size in bench.arguments.sizes:
        config = bench.config(size, "masked")
        words = ["masked.fourier_weight=0", "masked.target_sigma=0"]
        plain, flat = (bench.config(size, "masked", *words, *more) for more in ([], ["model.tokenizer=patches"]))
        batch = bench.batch(config)
        few = {key: value[: max(1, config.batch_size // 8)] for key, value in batch.items()}  # 4096 tokens a crop
        compared: dict[str, tuple[nn.Module, Batch]] = {
            "tomoseek": (stage_model(config), batch),
            "tomoseek, loss as MONAI's": (stage_model(plain), batch),
            "tomoseek, loss and linear patches as MONAI's": (stage_model(flat), batch),
            "MONAI, patches of 8³": (MonaiAutoencoder(config, TOKEN), batch),
            "MONAI, patches of 4³": (MonaiAutoencoder(config, EMBEDDING_STRIDE), few),
        }
        steps = [
            partial(training_step(model, config.weight_decay, bench.device), crops)
            for model, crops in compared.values()
        ]
        seconds = bench.time(*steps)
        rates = [len(crops["input"]) / taken for (_, crops), taken in zip(compared.values(), seconds, strict=True)]
        for (name, (model, crops)), step, rate in zip(compared.items(), steps, rates, strict=True):
            million = sum(p.numel() for p in model.parameters() if p.requires_grad) / 1e6
            num_crops = len(crops["input"])
            row = [size, name, f"{million:.1f}", f"{num_crops}", f"{count_work(step).flops / num_crops / 1e9:.2f}"]
            yield [*row, f"{rate:.2f}", *(f"{rate / other:.2f}" for other in rates[-2:])]


TABLES = {
    "Machine": machine, "Training": training, "Inference": inference, "Data pipeline (small)": pipeline,
    "Beside MONAI": monai,
}  # fmt: skip


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parts = [table.__name__ for table in TABLES.values()]
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="tables to print")
    parser.add_argument("--sizes", nargs="+", choices=("tiny", "small", "base"), default=["tiny", "small", "base"])
    parser.add_argument("--batch-size", type=int, default=16, help="crops of a step")
    parser.add_argument("--base-batch-size", type=int, default=4, help="the same for the base model, at most that")
    parser.add_argument("--steps", type=int, default=9, help="timed; the median counts")
    parser.add_argument("--warmup", type=int, default=2, help="steps before those")
    parser.add_argument("--pipeline-steps", type=int, default=48)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments, Path(folder))
        print(describe(bench.device))
        for title, table in TABLES.items():
            if table.__name__ in arguments.only:
                print_table(title, table(bench))


if __name__ == "__main__":
    main()
