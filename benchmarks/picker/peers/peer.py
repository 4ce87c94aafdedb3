"""Train one of `NETWORKS` as ``finetune train`` trains ours, with its settings; only the network differs.

    python -m benchmarks.picker.peers.peer unet data.project=copick.json out_dir=runs/unet learning_rate=2e-3

Same crops, changes, targets, loss, optimiser, schedule, moving average and search for thresholds.
"""

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from benchmarks.picker.peers.networks import NETWORKS, build
from finetune.crops import CropSampler
from finetune.labels import find_labelled_runs, split_runs
from finetune.settings import TrainConfig
from finetune.targets import heatmap_loss
from finetune.validate import validate
from tomoseek.command_line import compose_settings
from tomoseek.files import atomic_write_json
from tomoseek.running import ahead, autocast, pick_device, progress
from tomoseek.training import Ema, cosine_learning_rate

WEIGHTS, DESCRIPTION = "peer.safetensors", "peer.json"


def train(name: str, config: TrainConfig) -> None:
    """Train a network from scratch, choose thresholds on the held-out runs, write both."""
    device = pick_device(config.device)
    labelled, radii = find_labelled_runs(config.data, config.classes, config.picks)
    training, held_out = split_runs(labelled, config.validation_runs)
    network = build(name, len(radii), config.seed).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    ema = Ema(network, config.ema_decay)
    sampler = CropSampler(
        training, radii, config.crops, config.augment, config.batch_size, config.sigma_factor,
        config.mask_absent_classes, config.seed,
    )  # fmt: skip
    loss = torch.zeros(())
    with ahead(sampler.batches(0)) as batches, progress(range(config.num_steps), name, "step") as bar:
        for step in bar:
            batch = next(batches)
            rate = cosine_learning_rate(step, config.num_steps, config.learning_rate, config.warmup_steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with autocast(device):
                logits = network(batch.volume.to(device))  # (b, c, z/2, y/2, x/2)
            target, known = batch.target.to(device), batch.known.to(device)
            loss = heatmap_loss(logits, target, known, config.positive_weight, config.confusion_weight)
            if not math.isfinite(loss.item()):
                raise FloatingPointError(f"loss is {loss.item()} at step {step}")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
            optimizer.step()
            ema.update(network)
    result = validate(ema.module, held_out or training, radii, config.detect, device)
    print(f"{name}: loss {loss.item():.4f} at the last step")
    print(result.table("on held-out runs" if held_out else "on training runs"))
    folder = Path(config.out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in ema.module.state_dict().items()}, folder / WEIGHTS)
    description = {
        "network": name,
        "radii": radii,
        "thresholds": result.thresholds,
        "calibration": {name: asdict(each) for name, each in result.calibration.items()},
        "validation": result.f4,
    }
    atomic_write_json(folder / DESCRIPTION, description)


def load(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Read what `train` wrote: the network in eval mode, and its radii and thresholds."""
    description = json.loads((folder / DESCRIPTION).read_text())
    network = build(description["network"], len(description["radii"]), 0)
    network.load_state_dict(load_file(folder / WEIGHTS))
    return network.eval(), description


def main() -> None:
    """Train the network named first with the settings that follow."""
    name, *words = sys.argv[1:] or [""]
    if name not in NETWORKS:
        raise SystemExit(f"expected a network ({', '.join(NETWORKS)}) and key=value words, found '{name}'")
    train(name, compose_settings("finetune_train", TrainConfig, words))


if __name__ == "__main__":
    main()
