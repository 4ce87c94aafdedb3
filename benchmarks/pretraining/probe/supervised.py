"""The control that is trained on the very labels: the small encoder from scratch with a class head."""

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.known_tomograms import KnownTomograms
from benchmarks.pretraining.probe.measures import SHOTS, peaks_of, ranking
from benchmarks.pretraining.probe.rows import OVERLAP, TILE
from pretrain.assemblies import scene_of
from pretrain.config import PretrainConfig
from pretrain.metric import sample_features
from pretrain.scene_crops import Scene, draw_crop
from tomoseek.command_line import compose_settings
from tomoseek.network.strides import EMBEDDING_STRIDE
from tomoseek.network.weights import random_encoder
from tomoseek.running import autocast
from tomoseek.tomograms.tiling import predict_tiled
from tomoseek.training import cosine_learning_rate

NUM_STEPS = 150
BATCH = 8
PEAK_RATE = 1e-3


def supervised_row(known: KnownTomograms, device: torch.device) -> dict[str, Any]:
    """Train on k labels of each class in the first tomogram, search the others."""
    shots = {str(k): supervised(known, k, device) for k in SHOTS}
    return {"shots": shots}


def supervised(
    known: KnownTomograms, shots: int, device: torch.device, num_steps: int = NUM_STEPS
) -> dict[str, dict[str, float]]:
    """Train one network for all classes from ``shots`` labels each; what has no label may count as background."""
    names = list(known.points[0])
    config = compose_settings("pretrain", PretrainConfig, ["stage=metric"])
    random = np.random.default_rng(0)
    labelled = [known.points[0][name][random.permutation(len(known.points[0][name]))[:shots]] for name in names]
    halves = torch.stack([known.simulated[0].even, known.simulated[0].odd]).neg().numpy()  # protein positive
    scene = scene_of(halves, labelled, known.regime.voxel_spacing)
    encoder = random_encoder("small").to(device).train()
    head = nn.Conv3d(encoder.config.fused_channels, len(names) + 1, 1).to(device)
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=PEAK_RATE, weight_decay=0.05)
    for step in range(num_steps):
        optimizer.param_groups[0]["lr"] = cosine_learning_rate(step, num_steps, PEAK_RATE, 10)
        with autocast(device):
            loss = functional.cross_entropy(*logits_and_labels(encoder, head, scene, config, random, device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    encoder.eval()

    def class_scores(volume: Tensor) -> Tensor:
        with autocast(device):
            logits = head(encoder(volume).stride4)
        return logits.float().log_softmax(1)[:, :-1]

    found: dict[str, dict[int, Any]] = {name: {} for name in names}
    for index, tomogram in enumerate(known.tomograms[1:], start=1):
        scores = predict_tiled(
            tomogram, class_scores, tile=(TILE,) * 3, overlap=OVERLAP, stride=EMBEDDING_STRIDE, num_channels=len(names),
            device=device, progress=False, dtype=np.float32,
        )  # fmt: skip
        for channel, name in enumerate(names):
            found[name][index] = peaks_of(
                scores[channel].astype(np.float32), known.radii[name], known.regime.voxel_spacing
            )
    return {name: ranking(known, found[name], name) for name in names}


def logits_and_labels(
    encoder: nn.Module, head: nn.Conv3d, scene: Scene, config: PretrainConfig, random: np.random.Generator,
    device: torch.device,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Draw a batch of crops, each with a labelled particle somewhere in it; the last class is background."""
    crops = [draw_crop(around_one(scene, config, random), config, random) for _ in range(BATCH)]
    fused = encoder(torch.from_numpy(np.stack([crop.volume for crop in crops]))[:, None].to(device)).stride4
    logits, labels = [], []
    for sample, crop in zip(fused, crops, strict=True):
        at = sample_features(sample[None], torch.from_numpy(crop.points)[None].to(device))[0]  # m c
        logits.append(functional.linear(at, head.weight.flatten(1), head.bias))
        labels.append(torch.from_numpy(np.where(crop.label < 0, head.out_channels - 1, crop.label)).to(device))
    return torch.cat(logits).float(), torch.cat(labels)


def around_one(scene: Scene, config: PretrainConfig, random: np.random.Generator) -> Scene:
    """Cut a crop's worth out of a scene such that a particle of a class drawn at random is in it."""
    point = scene.points_zyx[
        random.permutation(np.flatnonzero(scene.label == random.choice(np.unique(scene.label))))[0]
    ]
    margin = config.metric.margin
    start = np.round(point - random.uniform(margin, config.crop - 1 - margin, 3)).astype(int)
    start = np.clip(start, 0, np.array(scene.halves.shape[1:]) - config.crop)
    z, y, x = (slice(first, first + config.crop) for first in start)
    return dataclasses.replace(scene, halves=scene.halves[:, z, y, x], points_zyx=scene.points_zyx - start)
