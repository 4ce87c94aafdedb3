"""What the device can do, and the floating-point operations that the parts ask of it, as JSON.

A command of its own, so that it leaves the GPU empty.
"""

import argparse
import math
from pathlib import Path

import torch

from benchmarks.gpu.parts import FINETUNE, FULL, MASKED, METRIC, TINY, Trial
from benchmarks.speed.encoder import stage_model, training_step
from benchmarks.speed.machine import MATMUL_SIZES, count_work, describe, product_rate
from embed.build import BuildConfig
from finetune.predict import PredictConfig
from finetune.settings import TrainConfig
from finetune.start import fresh_picker
from finetune.targets import heatmap_loss
from pretrain.assemblies import AssemblyCrops
from pretrain.config import PretrainConfig
from pretrain.masked_crops import MaskedCrops
from tomoseek.command_line import compose_settings
from tomoseek.complexes import CHALLENGE
from tomoseek.files import atomic_write_json
from tomoseek.network.strides import EMBEDDING_STRIDE
from tomoseek.network.weights import load_encoder
from tomoseek.running import autocast, describe_precision, pick_device, precision
from tomoseek.tomograms.tiling import plan_axis


def pretraining_step(trial: Trial, name: str, device: torch.device) -> float:
    """Operations of a step of pretraining."""
    config = compose_settings("pretrain", PretrainConfig, trial.pretrain_words(name))
    source = MaskedCrops(config, 0) if name == MASKED else AssemblyCrops(config, 0, device)
    batch = {key: value.to(device) for key, value in source.batch(0).items()}
    step = training_step(stage_model(config), config.weight_decay, device)
    return count_work(lambda: step(batch)).flops


def finetuning_step(trial: Trial, device: torch.device) -> float:
    """Operations of a step that trains a picker."""
    config = compose_settings("finetune_train", TrainConfig, trial.finetune_words())
    picker = fresh_picker(config.encoder, config.unfreeze, len(CHALLENGE), config.decoder_channels, 0).to(device)
    volume = torch.randn(config.batch_size, 1, *config.crops.size, device=device)  # b 1 z y x

    def step() -> None:
        with autocast(device):
            logits = picker(volume)  # b c z/2 y/2 x/2
        nothing = torch.zeros_like(logits, dtype=torch.float32)
        heatmap_loss(logits, nothing, nothing + 1, 1.0, 1.0).backward()

    return count_work(step).flops


def prediction(trial: Trial, device: torch.device) -> float:
    """Operations of picking in the large tomogram."""
    config = compose_settings("finetune_train", TrainConfig, trial.finetune_words())
    picker = fresh_picker(config.encoder, config.unfreeze, len(CHALLENGE), config.decoder_channels, 0).to(device)
    detect = compose_settings("finetune_predict", PredictConfig, [trial.data, *trial.sizes.predict]).detect
    z, y, x = detect.tile
    return tiled(trial, lambda volume: picker(volume), (z, y, x), detect.overlap, device)


def embedding(trial: Trial, device: torch.device) -> float:
    """Operations of embedding the large tomogram."""
    config = compose_settings("embed_build", BuildConfig, [trial.data, *trial.sizes.embed])
    encoder = load_encoder(config.encoder, device)
    return tiled(trial, encoder.embed, (config.tile,) * 3, config.overlap, device)


def tiled(trial: Trial, network: object, tile: tuple[int, int, int], overlap: int, device: torch.device) -> float:
    """Operations of a network on all tiles of the large tomogram."""
    axes = zip(trial.sizes.volume, tile, strict=True)
    number = math.prod(len(plan_axis(length, side, overlap, EMBEDDING_STRIDE).starts) for length, side in axes)
    volume = torch.randn(1, 1, *tile, device=device)

    @torch.inference_mode()
    def one() -> object:
        with autocast(device):
            return network(volume)

    return number * count_work(one).flops


def main() -> None:
    """Measure, count, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    device = pick_device(options.device)
    trial = Trial(folder=options.folder, sizes=TINY if options.tiny else FULL, device=options.device)
    sizes = (256,) if options.tiny else MATMUL_SIZES[device.type]
    found = {
        "machine": describe(device),
        "precision": describe_precision(device),
        "products_flops": product_rate(precision(device), device, sizes),
        "flops": {
            MASKED: pretraining_step(trial, MASKED, device),
            METRIC: pretraining_step(trial, METRIC, device),
            FINETUNE: finetuning_step(trial, device),
            "predict": prediction(trial, device),
            "embed": embedding(trial, device),
        },
    }
    atomic_write_json(options.out, found)


if __name__ == "__main__":
    main()
