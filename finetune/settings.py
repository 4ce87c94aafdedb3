"""Settings of ``finetune train``, and which of them a resumed run must share."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from finetune.augment import AugmentConfig
from finetune.crops import CropConfig
from finetune.decoder import Picker
from finetune.detect import DetectConfig
from finetune.labels import Labels, find_labelled_runs, label_digests, split_runs
from finetune.unfreeze import Unfreeze
from tomoseek.config import DataConfig, PicksConfig
from tomoseek.errors import InputError
from tomoseek.network.weights import fingerprint


@dataclass(kw_only=True, slots=True)
class TrainConfig:
    """Settings of ``finetune train``; ``configs/finetune_train.yaml`` explains each."""

    data: DataConfig
    picks: PicksConfig
    classes: list[str] | None
    validation_runs: list[str] | None
    mask_absent_classes: bool
    checkpoint: str | None
    encoder: str
    unfreeze: Unfreeze
    decoder_channels: list[int]
    crops: CropConfig
    augment: AugmentConfig
    sigma_factor: float
    positive_weight: float
    confusion_weight: float
    num_steps: int
    batch_size: int
    max_minutes: float | None
    learning_rate: float
    encoder_learning_rate_scale: float
    warmup_steps: int
    weight_decay: float
    clip_norm: float
    ema_decay: float
    log_every: int
    validate_every: int | None
    detect: DetectConfig
    out_dir: str
    resume: bool
    device: str
    seed: int

    def __post_init__(self) -> None:
        if self.num_steps < 1 or self.batch_size < 1:
            raise InputError(f"num_steps, batch_size: expected at least 1, found {self.num_steps}, {self.batch_size}")
        if len(self.decoder_channels) != 2 or any(n % 8 for n in self.decoder_channels):
            raise InputError(f"decoder_channels: expected two multiples of 8, found {self.decoder_channels}")


# Settings that may differ between a run and its continuation.
FREE_ON_RESUME = {"resume", "device", "log_every", "validate_every", "max_minutes", "out_dir"}


def find_labels(config: TrainConfig) -> Labels:
    """Read the labels that the settings name, and hold some runs out.

    Raises
    ------
    InputError
        As `find_labelled_runs` and `split_runs`.
    """
    labelled, radii = find_labelled_runs(config.data, config.classes, config.picks)
    return Labels(*split_runs(labelled, config.validation_runs), radii)


def comparable(config: TrainConfig, picker: Picker, labels: Labels) -> dict[str, Any]:
    """Return what has to be the same when a run is resumed, as JSON holds it: settings, labels and what it starts from.

    That is an encoder, or a picker trained before.
    """
    kept = {key: value for key, value in dataclasses.asdict(config).items() if key not in FREE_ON_RESUME}
    kept["encoder_fingerprint"] = fingerprint(picker if config.checkpoint else picker.encoder)
    kept["labels"] = {run.name: label_digests(run.points_xyz) for run in labels.training + labels.held_out}
    plain: dict[str, Any] = json.loads(json.dumps(kept, default=lambda value: value.value))
    return plain
