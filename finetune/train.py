"""Fit a decoder, and if asked the encoder too, to labelled picks.

Letters: b crops, c classes, z y x voxels.
"""

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from finetune.checkpoint import DESCRIPTION, Description, load_description, save_checkpoint
from finetune.crops import CropSampler
from finetune.decoder import Picker
from finetune.labels import LabelledRun, find_labelled_runs, split_runs
from finetune.settings import TrainConfig, comparable
from finetune.targets import heatmap_loss
from finetune.unfreeze import Unfreeze, fresh_picker, parameter_groups
from finetune.validate import Validation, validate
from tomoseek.errors import InputError
from tomoseek.files import keep_log_until, log_jsonl
from tomoseek.messages import warn
from tomoseek.running import ahead, autocast, pick_device, progress
from tomoseek.training import Ema, cosine_learning_rate, load_state, save_state


def run(config: TrainConfig) -> float:
    """Train, choose thresholds on the held-out runs, write the checkpoint; return the weighted F4 on those runs."""
    out_dir = Path(config.out_dir)
    state_path, log_path = out_dir / "state.safetensors", out_dir / "train_log.jsonl"
    device = pick_device(config.device)
    labelled, radii = find_labelled_runs(config.data, config.classes, config.picks)
    training, held_out = split_runs(labelled, config.validation_runs)
    picker = fresh_picker(config.encoder, config.unfreeze, len(radii), config.decoder_channels, config.seed).to(device)
    announce(config, training, held_out, radii, picker)

    groups = parameter_groups(picker, config.learning_rate, config.encoder_learning_rate_scale)
    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    ema = Ema(picker, config.ema_decay)
    averaged = ema.module
    assert isinstance(averaged, Picker)
    step, spent = 0, 0.0
    settings = comparable(config, picker, labelled)
    if not config.resume:
        state_path.unlink(missing_ok=True)
    if state_path.exists():
        state, meta = load_state(state_path)
        if meta["settings"] != settings:
            changed = sorted(key for key in settings if settings[key] != meta["settings"].get(key))
            raise InputError(
                f"out_dir: '{out_dir}' holds a training with other settings, encoder or labels "
                f"({', '.join(changed)}); give another out_dir, or resume=false to start over"
            )
        if meta["finished"] and (out_dir / DESCRIPTION).is_file():
            print(f"{out_dir} is already complete ({meta['step']} steps); resume=false trains it again")
            return float(load_description(out_dir).provenance["validation"]["weighted_f4"])
        picker.load_state_dict(state["picker"])
        ema.module.load_state_dict(state["ema"])
        ema.num_updates = meta["ema_updates"]
        optimizer.load_state_dict(state["optimizer"])
        step, spent = meta["step"], meta["seconds"]
        print(f"resuming {out_dir} at step {step}")
    keep_log_until(log_path, step)

    limit = config.max_minutes * 60 if config.max_minutes is not None else math.inf
    started = time.perf_counter() - spent
    sampler = CropSampler(
        training, radii, config.crops, config.augment, config.batch_size, config.sigma_factor,
        config.mask_absent_classes, config.seed,
    )  # fmt: skip
    with (
        ahead(sampler.batches(step)) as batches,
        progress(range(step, config.num_steps), "finetune", "step", config.num_steps, step) as bar,
    ):
        for now in bar:
            seconds = time.perf_counter() - started
            if seconds > limit:
                break
            # With a time limit the schedule follows the clock where that runs faster than the steps.
            done = max(now, int(seconds / limit * config.num_steps))
            batch = next(batches)
            for group in optimizer.param_groups:
                peak = config.learning_rate * group["scale"]
                group["lr"] = cosine_learning_rate(done, config.num_steps, peak, config.warmup_steps)
            with autocast(device):
                logits = picker(batch.volume.to(device))  # (b, c, z/2, y/2, x/2)
            target, known = batch.target.to(device), batch.known.to(device)
            loss = heatmap_loss(logits, target, known, config.positive_weight, config.confusion_weight)
            value = loss.item()
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"loss is {value} at step {now}; the last saved state is kept. Lower learning_rate, "
                    "or look for damaged voxels with: python -m tomoseek doctor"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(picker.parameters(), config.clip_norm)
            optimizer.step()
            ema.update(picker)

            step = now + 1
            seconds = time.perf_counter() - started
            if now % config.log_every == 0 or step == config.num_steps:
                rate = optimizer.param_groups[0]["lr"]
                line = {"step": now, "loss": value, "learning_rate": rate, "gradient_norm": norm.item()}
                log_jsonl(log_path, {**line, "seconds": round(seconds, 2)})
                bar.set_postfix_str(f"loss {value:.4f}", refresh=False)
            if step % config.save_every == 0 and step < config.num_steps:
                save(state_path, picker, ema, optimizer, step, seconds, settings)
            due = config.validate_every is not None and step % config.validate_every == 0
            if due and held_out and step < config.num_steps:
                result = validate(averaged, held_out, radii, config.detect, device)
                log_jsonl(log_path, {"step": now, "validation_weighted_f4": result.weighted_f4})

    spent = time.perf_counter() - started
    save(state_path, picker, ema, optimizer, step, spent, settings)
    result = validate(averaged, held_out or training, radii, config.detect, device)
    log_jsonl(log_path, {"step": step - 1, "validation_weighted_f4": result.weighted_f4})
    save_checkpoint(out_dir, averaged, describe(config, training, held_out, radii, result, step, settings, averaged))
    save(state_path, picker, ema, optimizer, step, spent, settings, finished=True)
    where = "held-out" if held_out else "training"
    print(result.table(f"on {where} runs ({', '.join(run.name for run in held_out or training)})"))
    print(f"wrote {out_dir}: checkpoint={out_dir} predicts with it")
    return result.weighted_f4


def save(
    path: Path, picker: Picker, ema: Ema, optimizer: torch.optim.Optimizer, step: int, seconds: float,
    settings: dict[str, Any], finished: bool = False,
) -> None:  # fmt: skip
    """Write everything a resumed run starts from; crops need no state, they follow from seed and step."""
    state = {
        "picker": picker.state_dict(),
        "ema": ema.module.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    meta = {
        "step": step,
        "seconds": seconds,
        "ema_updates": ema.num_updates,
        "finished": finished,
        "settings": settings,
    }
    save_state(path, state, meta)


def announce(
    config: TrainConfig,
    training: list[LabelledRun],
    held_out: list[LabelledRun],
    radii: dict[str, float],
    picker: Picker,
) -> None:
    """Say what is about to be trained on what, and warn of what will hurt."""
    if not held_out:
        warn(
            "no run is held out: thresholds will be chosen on the training runs, which reads too well; "
            "label a second run, or set validation_runs"
        )
    expected = picker.encoder.config.voxel_spacing
    for run in training:
        if mismatch := run.tomogram.unfamiliar_spacing(expected, "the encoder"):
            warn(f"{mismatch}, or set unfreeze=all")
    if config.unfreeze is Unfreeze.none and config.encoder.startswith("random"):
        warn("the encoder is untrained and frozen: set unfreeze=all, or give a pretrained one")
    learning = sum(p.numel() for p in picker.parameters() if p.requires_grad)
    labels = {name: sum(len(run.points_xyz[name]) for run in training) for name in radii}
    print(f"classes (labels to train on): {', '.join(f'{name} ({count})' for name, count in labels.items())}")
    print(f"train on {', '.join(run.name for run in training)}")
    print(f"hold out {', '.join(run.name for run in held_out) or 'none'}")
    print(f"{learning / 1e6:.2f} M learning parameters; unfreeze={config.unfreeze.value}")


def describe(
    config: TrainConfig, training: list[LabelledRun], held_out: list[LabelledRun], radii: dict[str, float],
    result: Validation, num_steps: int, settings: dict[str, Any], picker: Picker,
) -> Description:  # fmt: skip
    """Collect what goes into ``finetune.json``."""
    project = str(Path(config.data.project or "").resolve())
    return Description(
        radii=radii,
        thresholds=result.thresholds,
        threshold_runs=[run.seen(project) for run in held_out or training],
        training_runs=[run.seen(project) for run in training],
        voxel_spacing=training[0].tomogram.voxel_spacing,
        model=dataclasses.asdict(picker.encoder.config),
        decoder_channels=config.decoder_channels,
        provenance={
            "num_steps": num_steps,
            "thresholds_held_out": bool(held_out),
            "validation": {"weighted_f4": result.weighted_f4, "classes": result.f4},
            "settings": settings,
        },
        calibration=result.calibration,
    )
