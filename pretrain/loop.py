"""The training loop of all stages, written out."""

import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor, nn

from pretrain.adaptation import held_out_batches, is_worse, losses
from pretrain.assemblies import AssemblyCrops
from pretrain.config import PretrainConfig, StageName
from pretrain.implant import Host
from pretrain.masked import MaskedAutoencoder
from pretrain.masked_crops import MaskedCrops
from pretrain.metric import MetricLearner
from tomoseek.errors import InputError
from tomoseek.files import atomic_write_json, keep_log_until, log_jsonl
from tomoseek.messages import warn
from tomoseek.network.encoder import Encoder
from tomoseek.network.weights import WEIGHTS, fingerprint, load_encoder, save_encoder
from tomoseek.provenance import code_version
from tomoseek.running import ahead, pick_device, precision, progress
from tomoseek.training import Ema, StateKeeper, cosine_learning_rate, keep_freed_memory, load_state, save_state


class Batches(Protocol):
    """Where a stage's batches come from."""

    def batch(self, step: int) -> dict[str, Tensor]:
        """Draw the batch of a step."""


def run(config: PretrainConfig) -> None:
    """Train an encoder; ends with ``encoder.safetensors`` and ``encoder.json`` in ``out_dir``.

    Raises
    ------
    InputError
        If ``out_dir`` holds a run with other settings.
    RuntimeError
        If the loss stops being a finite number.
    """
    keep_freed_memory()
    device = pick_device(config.device)
    unused = DistributedDataParallelKwargs(find_unused_parameters=config.stage is StageName.masked)
    mixed = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "no"}[precision(device)]
    accelerator = Accelerator(mixed_precision=mixed, cpu=device.type == "cpu", kwargs_handlers=[unused])
    out_dir = Path(config.out_dir)
    state_path, log_path = out_dir / "state.safetensors", out_dir / "log.jsonl"
    settings, code = plain(dataclasses.asdict(config)), code_version()

    torch.manual_seed(config.seed)
    encoder = load_encoder(config.encoder) if config.encoder else Encoder(config.model)
    if encoder.config != config.model:
        accelerator.print(f"model: its sizes are those of {config.encoder}; model=... has no effect beside encoder=...")
        config.model = encoder.config
    model, batches = build_stage(config, encoder, accelerator)
    ema = Ema(encoder.to(accelerator.device), config.ema_decay)
    optimizer = torch.optim.AdamW(parameter_groups(model, config.weight_decay), lr=config.learning_rate)

    start = 0
    if config.resume and state_path.exists():
        state, meta = load_state(state_path)
        check_same_run(settings, meta["settings"], out_dir)
        model.load_state_dict(state["model"])
        ema.module.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        if accelerator.scaler and state.get("scaler"):  # of losses in float16, on GPUs without bfloat16
            accelerator.scaler.load_state_dict(state["scaler"])
        start, ema.num_updates = meta["step"], meta["step"]
        accelerator.print(f"{out_dir}: going on at step {start} of {config.num_steps}")
    if start >= config.num_steps and (out_dir / WEIGHTS).exists():
        accelerator.print(f"{out_dir}: already trained for {start} steps, nothing to do (resume=false begins again)")
        return
    if accelerator.is_main_process:
        keep_log_until(log_path, start)
        atomic_write_json(out_dir / "config.json", settings)
    trained, optimizer = accelerator.prepare(model, optimizer)
    trained.train()

    done = start

    def save() -> None:
        if accelerator.is_main_process:
            state = {
                "model": model.state_dict(), "ema": ema.module.state_dict(), "optimizer": optimizer.state_dict(),
                "scaler": accelerator.scaler.state_dict() if accelerator.scaler else {},
            }  # fmt: skip
            save_state(state_path, state, {"step": done, "settings": settings})

    def stream() -> Iterator[dict[str, Tensor]]:
        for step in range(start, config.num_steps):
            yield batches.batch(step)

    accelerator.print(f"{config.stage.value}: {count(encoder):.1f} M parameters on {accelerator.device}")
    bar = progress(range(start, config.num_steps), f"pretrain {config.stage.value}", "step", config.num_steps, start)
    bar.disable = bar.disable or not accelerator.is_main_process
    last: dict[str, float] = {}
    started = time.perf_counter()
    # On a CPU the same cores would draw and train: drawing ahead only makes them wait for each other.
    drawn = ahead(stream()) if accelerator.device.type == "cuda" else nullcontext(stream())
    with drawn as upcoming, StateKeeper(save) as keeper:
        for step, batch in zip(bar, upcoming, strict=True):
            rate = cosine_learning_rate(step, config.num_steps, config.learning_rate, config.warmup_steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with accelerator.autocast():
                losses = trained({key: value.to(accelerator.device) for key, value in batch.items()})
            if not math.isfinite(losses["loss"].item()):
                raise RuntimeError(f"the loss is not finite at step {step}; try a lower learning_rate")
            accelerator.backward(losses["loss"])
            accelerator.clip_grad_norm_(trained.parameters(), config.clip_norm)
            with keeper.change():
                optimizer.step()
                ema.update(encoder)
                done = step + 1
            optimizer.zero_grad(set_to_none=True)
            if step % config.log_every == 0 or step == config.num_steps - 1:
                last = {key: float(accelerator.reduce(value.detach(), "mean")) for key, value in losses.items()}
                bar.set_postfix_str(" ".join(f"{key} {value:.3f}" for key, value in last.items()), refresh=False)
                if accelerator.is_main_process:
                    seconds = round(time.perf_counter() - started, 2)  # of this sitting
                    log_jsonl(log_path, {"step": step, **last, "learning_rate": rate, "seconds": seconds})
            keeper.save_if_due()
    if accelerator.is_main_process:
        provenance = {
            "settings": settings, "steps": config.num_steps, "losses": last, "started_from": config.encoder, **code,
        }  # fmt: skip
        assert isinstance(ema.module, Encoder)
        learned = ema.module
        if config.stage is StageName.adapt:
            assert isinstance(batches, AssemblyCrops)
            learned = keep_better(learned, config, batches.hosts, accelerator.device, provenance)
        save_encoder(learned, out_dir, provenance)
        accelerator.print(f"{out_dir / WEIGHTS}: encoder {fingerprint(learned)}, {last}")
        if config.stage is not StageName.masked and config.metric.calibrate:
            calibrate(out_dir, config)
    accelerator.wait_for_everyone()
    accelerator.end_training()


def keep_better(
    adapted: Encoder, config: PretrainConfig, hosts: list[Host], device: torch.device, provenance: dict[str, Any]
) -> Encoder:
    """Return the adapted encoder, or the one it started from where that does better on implants neither has seen."""
    assert config.encoder is not None
    started_from = load_encoder(config.encoder)
    batches = held_out_batches(config, hosts, device)
    before, after = (losses(encoder, batches, config, device) for encoder in (started_from, adapted))
    provenance["held_out_loss"] = {"before": float(before.mean()), "adapted": float(after.mean())}
    provenance["adapted"] = not is_worse(before, after)
    said = f"loss on implants that neither has seen: {before.mean():.3f} before, {after.mean():.3f} adapted"
    if not provenance["adapted"]:
        warn(f"{said}; adapting did harm, and the encoder stays as it was")
        return started_from
    print(said)
    return adapted


def calibrate(out_dir: Path, config: PretrainConfig) -> None:
    """Measure what searches with the new encoder may promise, by the command that does so for any encoder."""
    words = ["calibrate", f"encoder={out_dir}", f"out_dir={out_dir}", f"device={config.device}"]
    words += [f"specimens.scene=[{','.join(map(str, config.metric.scene))}]"]
    done = subprocess.run([sys.executable, "-m", "embed", *words], check=False, env=single_process())
    if done.returncode:
        warn(f"the encoder was not calibrated and promises nothing; run: python -m embed {' '.join(words)}")


def single_process() -> dict[str, str]:
    """Return the environment without what tells a process that it is one of several."""
    launched = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return {key: value for key, value in os.environ.items() if key not in launched}


def build_stage(config: PretrainConfig, encoder: Encoder, accelerator: Accelerator) -> tuple[nn.Module, Batches]:
    """Return the stage's model and where its batches come from."""
    if config.stage is StageName.masked:
        return MaskedAutoencoder(encoder, config.crop, config.masked), MaskedCrops(config, accelerator.process_index)
    batches = AssemblyCrops(config, accelerator.process_index, accelerator.device)
    encoder.config.voxel_spacing = batches.voxel_spacing  # of the tomograms it is adapted to
    beside = MaskedAutoencoder(encoder, config.crop, config.masked) if config.metric.masked_weight else None
    return MetricLearner(encoder, config.metric, beside), batches


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices and kernels; leave biases, norms, scales and tokens alone."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def check_same_run(settings: dict[str, Any], saved: dict[str, Any], out_dir: Path) -> None:
    """Refuse to go on with a run whose settings differ in more than its length, and where and how often it reports."""
    free = {"out_dir", "device", "resume", "num_steps", "log_every", "encoder"}
    for key in settings.keys() - free:
        if settings[key] != saved.get(key):
            raise InputError(
                f"out_dir: '{out_dir}' holds a run with {key}={json.dumps(saved.get(key))}, "
                f"now {json.dumps(settings[key])}; give another out_dir, or resume=false to begin again"
            )


def plain(value: Any) -> Any:
    """Turn enums into their values, for JSON."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value.value if isinstance(value, Enum) else value


def count(module: nn.Module) -> float:
    """Number of parameters in millions."""
    return sum(p.numel() for p in module.parameters()) / 1e6
