"""A training at one moment, as it is saved and taken up again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tomoseek.errors import InputError
from tomoseek.training import Ema, load_state, save_state

STATE = "state.safetensors"


@dataclass(slots=True)
class TrainingState:
    """Everything a training goes on from; crops need no state, they follow from seed and step.

    Attributes
    ----------
    path
        Where it is saved.
    settings
        What a training must share with a saved one to go on with it, as JSON holds it.
    network
        Learns.
    ema
        Moving average of its weights.
    optimizer
        Its groups carry ``scale``, their learning rate over the peak.
    scaler
        Scales losses where gradients are in float16; else switched off.
    step
        Steps done.
    seconds
        Time they took.
    """

    path: Path
    settings: dict[str, Any]
    network: nn.Module
    ema: Ema
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    seconds: float = 0.0

    def save(self, finished: bool = False) -> None:
        """Write it; ``finished`` once a checkpoint lies beside it."""
        state = {
            "network": self.network.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        meta = {
            "step": self.step, "seconds": self.seconds, "ema_updates": self.ema.num_updates, "finished": finished,
            "settings": self.settings,
        }  # fmt: skip
        save_state(self.path, state, meta)

    def take_up(self) -> bool:
        """Go on from the saved state if there is one, and return whether that one is finished.

        Raises
        ------
        InputError
            If it was saved under other settings.
        """
        if not self.path.exists():
            return False
        state, meta = load_state(self.path)
        saved = meta["settings"]
        if saved != self.settings:
            keys = self.settings.keys() | saved.keys()
            changed = sorted(key for key in keys if self.settings.get(key) != saved.get(key))
            raise InputError(
                f"out_dir: '{self.path.parent}' holds a training with other settings, encoder or labels "
                f"({', '.join(changed)}); give another out_dir, or resume=false to start over"
            )
        self.network.load_state_dict(state["network"])
        self.ema.module.load_state_dict(state["ema"])
        self.ema.num_updates = meta["ema_updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        if state.get("scaler"):  # none when the steps so far were done without
            self.scaler.load_state_dict(state["scaler"])
        self.step, self.seconds = meta["step"], meta["seconds"]
        return bool(meta["finished"])
