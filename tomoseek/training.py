"""What every training loop shares: schedule, moving average of the weights, saved state."""

import json
import math
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from tomoseek.files import atomic_path


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
