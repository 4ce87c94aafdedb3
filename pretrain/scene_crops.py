"""Crops cut from labelled scenes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pretrain.config import PretrainConfig
from pretrain.metric import BACKGROUND

OFF_CENTRE_VOXELS = (4.0, 8.0)
CLEAR_VOXELS = 10.0

Crop = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]


@dataclass(slots=True)
class Scene:
    """One tomogram with particles: its two halves in float16, contrast numbers and particles."""

    halves: NDArray[np.float16]  # 2 z y x
    centre: float
    signal_variance: float
    noise_variance: float
    points_zyx: NDArray[np.float32]  # m 3, voxels
    label: NDArray[np.int64]  # m


def draw_crops(scenes: tuple[Scene, Scene], config: PretrainConfig, random: np.random.Generator) -> list[Crop]:
    """Draw a batch of crops from both scenes by turns."""
    return [draw_crop(scenes[k % 2], config, random) for k in range(config.batch_size)]


def draw_crop(scene: Scene, config: PretrainConfig, random: np.random.Generator) -> Crop:
    """Cut, mix the halves, normalise and flip; return ``(z, y, x)``, points ``(m, 3)`` and labels ``(m,)``."""
    metric, size = config.metric, config.crop
    start = random.integers(0, np.array(scene.halves.shape[1:]) - size + 1)
    share = random.uniform(0, 1)  # of the first half
    region = tuple(slice(int(s), int(s) + size) for s in start)
    half = scene.halves[:, region[0], region[1], region[2]].astype(np.float32)
    volume = share * half[0] + (1 - share) * half[1]
    variance = scene.signal_variance + scene.noise_variance * (share**2 + (1 - share) ** 2)
    scale = random.uniform(0.85, 1.15) / np.sqrt(variance)
    volume = np.clip((volume - scene.centre) * scale + random.normal(0, 0.05), -8, 8).astype(np.float32)

    here = scene.points_zyx - start
    inside = ((here >= metric.margin) & (here <= size - 1 - metric.margin)).all(1)
    centres, label = here[inside], scene.label[inside]
    particles = centres + random.normal(0, metric.jitter, centres.shape)
    direction = random.normal(size=centres.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    off_centre = centres + direction * random.uniform(*OFF_CENTRE_VOXELS, (len(centres), 1))
    background = random.uniform(4, size - 5, (metric.background_points, 3))
    distance = np.linalg.norm(background[:, None] - here[None], axis=-1).min(axis=1, initial=np.inf)
    background = background[distance > CLEAR_VOXELS]

    points = np.concatenate([particles, off_centre, background]).astype(np.float32)
    labels = np.concatenate([label, np.full(len(off_centre) + len(background), BACKGROUND)])
    for axis in np.flatnonzero(random.random(3) < 0.5):
        volume = np.flip(volume, int(axis))
        points[:, axis] = size - 1 - points[:, axis]
    return np.ascontiguousarray(volume), points, labels
