"""Train one of `NETWORKS` as ``finetune train`` trains ours, with its settings; only the network differs.

    python -m benchmarks.picker.peers.peer unet data.project=copick.json out_dir=runs/unet learning_rate=2e-3

Same crops, changes, targets, loss, optimiser, schedule, moving average and search for thresholds.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from benchmarks.picker.peers.networks import NETWORKS, build
from finetune.settings import TrainConfig, find_labels
from finetune.state import STATE, TrainingState
from finetune.train import fit
from finetune.validate import validate
from tomoseek.command_line import compose_settings
from tomoseek.files import atomic_write_json
from tomoseek.running import loss_scaler, pick_device
from tomoseek.training import Ema

WEIGHTS, DESCRIPTION = "peer.safetensors", "peer.json"


def train(name: str, config: TrainConfig) -> None:
    """Train a network from scratch, choose thresholds on the held-out runs, write both."""
    device, folder = pick_device(config.device), Path(config.out_dir)
    labels = find_labels(config)
    network = build(name, len(labels.radii), config.seed).to(device)
    groups = [{"params": network.parameters(), "scale": 1.0}]
    optimizer = torch.optim.AdamW(groups, config.learning_rate, weight_decay=config.weight_decay)
    ema, scaler = Ema(network, config.ema_decay), loss_scaler(device)
    state = TrainingState(folder / STATE, {"network": name}, network, ema, optimizer, scaler)
    fit(state, config, labels, device)
    averaged = state.ema.module
    result = validate(averaged, labels.judging, labels.radii, config.detect, device)
    print(result.table("on held-out runs" if labels.held_out else "on training runs"))
    save_file({key: value.contiguous() for key, value in averaged.state_dict().items()}, folder / WEIGHTS)
    description = {
        "network": name,
        "radii": labels.radii,
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
