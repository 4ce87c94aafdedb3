"""Fit a decoder, and if asked the encoder too, to labelled picks.

Letters: b crops, c classes, z y x voxels.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from finetune.checkpoint import describe, load_description, save_checkpoint
from finetune.crops import CropSampler
from finetune.decoder import Picker
from finetune.labels import Labels
from finetune.settings import TrainConfig, comparable, find_labels
from finetune.sources import DESCRIPTION
from finetune.start import starting_picker
from finetune.state import STATE, TrainingState
from finetune.targets import heatmap_loss
from finetune.unfreeze import Unfreeze, parameter_groups
from finetune.validate import validate
from tomoseek.files import keep_log_until, log_jsonl
from tomoseek.messages import warn
from tomoseek.running import ahead, autocast, loss_scaler, pick_device, progress
from tomoseek.training import Ema, StateKeeper, cosine_learning_rate, keep_freed_memory

LOG = "train_log.jsonl"
PROBED = 5  # steps after which one can say how many fit into a time limit


def run(config: TrainConfig, on_validation: Callable[[int, float], None] | None = None) -> float:
    """Train, choose thresholds on the held-out runs, write the checkpoint; return the weighted F4 on those runs.

    Parameters
    ----------
    config
        All settings.
    on_validation
        Called after each validation on the way (``validate_every``) with the steps done and the weighted F4; what it
        raises ends the training.

    Raises
    ------
    InputError
        If settings, encoder or labels are bad, or ``out_dir`` holds a training that was given others.
    FloatingPointError
        If the loss stops being a finite number.
    """
    keep_freed_memory()
    out_dir, device = Path(config.out_dir), pick_device(config.device)
    labels = find_labels(config)
    picker, before = starting_picker(config, list(labels.radii))
    picker.to(device)
    labels = labels.resampled(config.data.resample, picker.encoder.config.voxel_spacing)
    announce(config, labels, picker)
    groups = parameter_groups(picker, config.learning_rate, config.encoder_learning_rate_scale)
    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    settings = comparable(config, picker, labels)
    ema, scaler = Ema(picker, config.ema_decay), loss_scaler(device)
    state = TrainingState(out_dir / STATE, settings, picker, ema, optimizer, scaler)
    if not config.resume:
        state.path.unlink(missing_ok=True)
    if state.take_up() and (out_dir / DESCRIPTION).is_file():
        print(f"{out_dir} is already complete ({state.step} steps); resume=false trains it again")
        return float(load_description(out_dir).provenance["validation"]["weighted_f4"])
    if state.step:
        print(f"resuming {out_dir} at step {state.step}")

    fit(state, config, labels, device, on_validation)
    averaged = state.ema.module
    assert isinstance(averaged, Picker)
    result = validate(averaged, labels.judging, labels.radii, config.detect, device)
    log_jsonl(out_dir / LOG, {"step": state.step - 1, "validation_weighted_f4": result.weighted_f4})
    save_checkpoint(out_dir, averaged, describe(config, labels, result, state, averaged, before))
    state.save(finished=True)
    where = "held-out" if labels.held_out else "training"
    print(result.table(f"on {where} runs ({', '.join(run.name for run in labels.judging)})"))
    print(f"wrote {out_dir}: checkpoint={out_dir} predicts with it")
    return result.weighted_f4


def fit(
    state: TrainingState, config: TrainConfig, labels: Labels, device: torch.device,
    on_validation: Callable[[int, float], None] | None = None,
) -> None:  # fmt: skip
    """Train until the steps or the minutes are used up; any network that gives heatmaps of the classes at stride 2.

    Parameters
    ----------
    state
        What is trained, on ``device``, from ``state.step`` on; saved along the way, and at the end.
    config
        All settings.
    labels
        What to learn from.
    device
        Where the network runs.
    on_validation
        See `run`.

    Raises
    ------
    FloatingPointError
        If the loss stops being a finite number.
    """
    log_path = state.path.with_name(LOG)
    keep_log_until(log_path, state.step)
    network, optimizer, scaler = state.network, state.optimizer, state.scaler
    sampler = CropSampler(
        labels.training, labels.radii, config.crops, config.augment, config.batch_size, config.sigma_factor,
        config.mask_absent_classes, config.seed,
    )  # fmt: skip
    limit = config.max_minutes * 60 if config.max_minutes is not None else math.inf
    started, first = time.perf_counter() - state.seconds, state.step
    with (
        ahead(sampler.batches(state.step)) as batches,
        progress(range(state.step, config.num_steps), "finetune", "step", config.num_steps, state.step) as bar,
        StateKeeper(state.save) as keeper,
    ):
        for step in bar:
            seconds = time.perf_counter() - started
            if seconds > limit:
                break
            # With a time limit the schedule follows the clock where that runs faster than the steps.
            done = max(step, int(seconds / limit * config.num_steps))
            for group in optimizer.param_groups:
                peak = config.learning_rate * group["scale"]
                group["lr"] = cosine_learning_rate(done, config.num_steps, peak, config.warmup_steps)

            batch = next(batches)
            with autocast(device):
                logits = network(batch.volume.to(device))  # (b, c, z/2, y/2, x/2)
            target, known = batch.target.to(device), batch.known.to(device)
            loss = heatmap_loss(logits, target, known, config.positive_weight, config.confusion_weight)
            value = loss.item()
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"loss is {value} at step {step}; the last saved state is kept. Lower learning_rate, "
                    "or look for damaged voxels with: python -m tomoseek doctor"
                )
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.unscale_(optimizer)
            norm = nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
            with keeper.change():
                scaler.step(optimizer)  # not when a gradient is infinite: the scale was too large
                scaler.update()
                state.ema.update(network)
                state.step, state.seconds = step + 1, time.perf_counter() - started
            if step == first:
                begun = state.seconds

            if step % config.log_every == 0 or state.step == config.num_steps:
                rate = optimizer.param_groups[0]["lr"]
                line = {"step": step, "loss": value, "learning_rate": rate, "gradient_norm": norm.item()}
                log_jsonl(log_path, {**line, "seconds": round(state.seconds, 2)})
                bar.set_postfix_str(f"loss {value:.4f}", refresh=False)
            keeper.save_if_due()
            if step >= first + PROBED and limit < math.inf:
                each = (state.seconds - begun) / (step - first)  # without the first, which takes longer
                fitting = min(config.num_steps, step + 1 + int((limit - state.seconds) / each))
                if step == first + PROBED and fitting < config.num_steps:
                    bar.write(
                        f"{each:.2g} s a step: about {fitting} of {config.num_steps} steps fit into "
                        f"max_minutes={config.max_minutes:g}"
                    )
                bar.total = fitting
            due = config.validate_every is not None and state.step % config.validate_every == 0
            if due and labels.held_out and state.step < config.num_steps:
                result = validate(state.ema.module, labels.held_out, labels.radii, config.detect, device)
                log_jsonl(log_path, {"step": step, "validation_weighted_f4": result.weighted_f4})
                if on_validation:
                    on_validation(state.step, result.weighted_f4)


def announce(config: TrainConfig, labels: Labels, picker: Picker) -> None:
    """Say what is about to be trained on what, and warn of what will hurt."""
    if not labels.held_out:
        warn(
            "no run is held out: thresholds will be chosen on the training runs, which reads too well; "
            "label a second run, or set validation_runs"
        )
    expected = picker.encoder.config.voxel_spacing
    for run in labels.training:
        if mismatch := run.tomogram.unfamiliar_spacing(expected, "the encoder"):
            warn(f"{mismatch}, or set unfreeze=all")
    if config.unfreeze is Unfreeze.none and config.encoder.startswith("random"):
        warn("the encoder is untrained and frozen: set unfreeze=all, or give a pretrained one")
    learning = sum(p.numel() for p in picker.parameters() if p.requires_grad)
    counts = {name: sum(len(run.points_xyz[name]) for run in labels.training) for name in labels.radii}
    print(f"classes (labels to train on): {', '.join(f'{name} ({count})' for name, count in counts.items())}")
    print(f"train on {', '.join(run.name for run in labels.training)}")
    print(f"hold out {', '.join(run.name for run in labels.held_out) or 'none'}")
    print(f"{learning / 1e6:.2f} M learning parameters; unfreeze={config.unfreeze.value}")
