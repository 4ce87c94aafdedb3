"""Settings of all pretraining stages (``configs/pretrain.yaml`` documents each)."""

from dataclasses import dataclass
from enum import Enum

from tomoseek.config import DataConfig
from tomoseek.errors import InputError
from tomoseek.network.encoder import EncoderConfig
from tomoseek.simulate import MicroscopeConfig
from tomoseek.simulate.processing import ProcessingConfig
from tomoseek.simulate.scene import IceConfig


class StageName(Enum):
    """The ways an encoder learns without labels; *adapt* is *metric* with particles set into one's own tomograms."""

    masked = "masked"
    metric = "metric"
    adapt = "adapt"


@dataclass(kw_only=True, slots=True)
class MaskedConfig:
    """Masked autoencoding of unlabeled tomograms."""

    mask_ratio: float
    piece: int
    rebuilt_share: float
    target_sigma: float
    visible_weight: float
    fourier_weight: float
    decoder_width: int
    decoder_depth: int
    decoder_heads: int


@dataclass(kw_only=True, slots=True)
class MetricConfig:
    """Metric learning on simulated procedural assemblies.

    ``ice``, ``microscope`` and ``processing`` say how a scene of the simulator is made; ``in_situ`` replaces ice and
    signal to noise in a share of them.
    """

    num_classes: int | None
    siblings: int
    maps: list[str]
    scene: list[int]
    classes_per_scene: int
    particles_per_class: int
    pool: int
    refresh_every: int
    snr: list[float]
    in_situ_share: float
    in_situ_snr: list[float]
    ice: IceConfig
    in_situ: IceConfig
    microscope: MicroscopeConfig
    processing: ProcessingConfig
    implant_share: float
    implant_contrast: list[float]
    temperature: float
    particle_weight: float
    jitter: float
    margin: int
    background_points: int
    clutter_points: int
    masked_weight: float
    calibrate: bool


@dataclass(kw_only=True, slots=True)
class PretrainConfig:
    """One pretraining run."""

    stage: StageName
    data: DataConfig
    half_types: list[str] | None
    model: EncoderConfig
    encoder: str | None
    out_dir: str
    device: str
    seed: int
    resume: bool
    num_steps: int
    batch_size: int
    crop: int
    learning_rate: float
    weight_decay: float
    warmup_steps: int
    clip_norm: float
    ema_decay: float
    log_every: int
    masked: MaskedConfig
    metric: MetricConfig

    def __post_init__(self) -> None:
        if self.crop % self.masked.piece or self.masked.piece % 8:
            raise InputError(
                f"crop and masked.piece: expected piece a multiple of 8 that divides crop, "
                f"found crop={self.crop}, masked.piece={self.masked.piece}"
            )
        if not 0 < self.masked.mask_ratio < 1:
            raise InputError(f"masked.mask_ratio: expected a share between 0 and 1, found {self.masked.mask_ratio}")
        if not 0 < self.masked.rebuilt_share <= 1:
            raise InputError(f"masked.rebuilt_share: expected a share above 0, found {self.masked.rebuilt_share}")
        if self.metric.margin * 2 >= self.crop:
            raise InputError(f"metric.margin: expected less than half of crop={self.crop}, found {self.metric.margin}")
        if any(size < self.crop for size in self.metric.scene):
            raise InputError(
                f"metric.scene: expected at least crop={self.crop} along each axis, found {self.metric.scene}"
            )
        if self.metric.siblings < 1:
            raise InputError(f"metric.siblings: expected at least 1, found {self.metric.siblings}")
        for name in ("snr", "in_situ_snr", "implant_contrast"):
            pair = getattr(self.metric, name)
            if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
                raise InputError(f"metric.{name}: expected [low, high] with 0 < low <= high, found {list(pair)}")
        if not 0 < self.metric.implant_share <= 1:
            raise InputError(f"metric.implant_share: expected a share above 0, found {self.metric.implant_share}")
        if self.metric.microscope.snr is not None:
            raise InputError("metric.microscope.snr: expected null, as metric.snr and metric.in_situ_snr say it")
        if not 0 <= self.metric.in_situ_share <= 1:
            raise InputError(f"metric.in_situ_share: expected a share of 0 to 1, found {self.metric.in_situ_share}")
        if self.metric.masked_weight < 0:
            raise InputError(f"metric.masked_weight: expected 0 or more, found {self.metric.masked_weight}")
        if self.stage is not StageName.metric and self.data.project is None:
            name = self.stage.value
            raise InputError(f"data.project: stage={name} learns from tomograms; give data.project=<copick.json>")
        if self.stage is StageName.adapt and self.encoder is None:
            raise InputError("encoder: stage=adapt goes on from one; give encoder=shipped, or one of your own")
