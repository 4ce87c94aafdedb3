"""Is an adapted encoder better than the one it started from? Asked on implants that neither has seen."""

import copy
import dataclasses
import math

import torch
from torch import Tensor

from pretrain.assemblies import AssemblyCrops
from pretrain.config import PretrainConfig
from pretrain.implant import Host
from pretrain.metric import MetricLearner
from tomoseek.network.encoder import Encoder
from tomoseek.running import autocast, progress

HELD_OUT_SEED = 1_000_003
NUM_BATCHES = 8
ERRORS = 2.0  # standard errors by which the loss must have risen to count as worse


def held_out_batches(config: PretrainConfig, hosts: list[Host], device: torch.device) -> list[dict[str, Tensor]]:
    """Draw batches of crops with implants only, of other assemblies at other places than training draws."""
    metric = dataclasses.replace(config.metric, implant_share=1.0, masked_weight=0.0, pool=2, refresh_every=2)
    other = dataclasses.replace(config, seed=config.seed + HELD_OUT_SEED, metric=metric)
    held_out = AssemblyCrops(other, 0, device, hosts)
    return [held_out.batch(step) for step in progress(range(NUM_BATCHES), "draw what neither has seen", "batch")]


@torch.no_grad()
def losses(encoder: Encoder, batches: list[dict[str, Tensor]], config: PretrainConfig, device: torch.device) -> Tensor:
    """Return the metric stage's loss ``(n,)`` of an encoder on each batch."""
    learner = MetricLearner(copy.deepcopy(encoder).to(device).eval(), config.metric)
    found = []
    for batch in progress(batches, "compare", "batch"):
        with autocast(device):
            found.append(learner({key: value.to(device) for key, value in batch.items()})["loss"].float().cpu())
    return torch.stack(found)


def is_worse(before: Tensor, after: Tensor) -> bool:
    """Tell whether losses ``(n,)`` of the same batches have risen by more than noise."""
    change = after - before
    return bool(change.mean() > ERRORS * change.std() / math.sqrt(len(change)))
