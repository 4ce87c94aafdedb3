"""Crops cut from labelled scenes: one view of a place each, or two that must agree."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pretrain.config import PretrainConfig
from pretrain.metric import BACKGROUND, FIRST_INSTANCE

OFF_CENTRE_VOXELS = (4.0, 8.0)
CLEAR_VOXELS = 10.0
SMOOTHING_VOXELS = 2.0

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


@dataclass(slots=True)
class View:
    """Where a crop starts (voxel z y x), the share of the first half in it, and its unlabelled places."""

    start: NDArray[np.int64]
    share: float
    places_zyx: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))  # n 3, in the crop
    instance: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # n


def draw_crops(scenes: tuple[Scene, Scene], config: PretrainConfig, random: np.random.Generator) -> list[Crop]:
    """Draw a batch of crops from both scenes by turns; with ``metric.instances``, two views of each place."""
    count = config.batch_size
    if not config.metric.instances:
        return [draw_crop(scenes[k % 2], config, random) for k in range(count)]
    crops: list[Crop] = []
    for place in range(-(-count // 2)):
        scene, start = scenes[place % 2], draw_start(scenes[place % 2], config.crop, random)
        places = unlabelled_places(scene, start, config, random)
        instance = FIRST_INSTANCE + place * config.metric.instances + np.arange(len(places))
        crops += [draw_crop(scene, config, random, View(start, share, places, instance)) for share in (1.0, 0.0)]
    return crops[:count]


def draw_start(scene: Scene, size: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw the first voxel of a crop."""
    return random.integers(0, np.array(scene.halves.shape[1:]) - size + 1)


def unlabelled_places(
    scene: Scene, start: NDArray[np.int64], config: PretrainConfig, random: np.random.Generator
) -> NDArray[np.float64]:
    """Draw places ``(n, 3)`` of a crop where something is, clear of labelled particles: of four the densest."""
    size, wanted = config.crop, config.metric.instances
    z, y, x = (slice(int(first), int(first) + size) for first in start)
    smooth = ndimage.gaussian_filter(scene.halves[:, z, y, x].mean(0, dtype=np.float32), SMOOTHING_VOXELS)
    drawn = random.integers(config.metric.margin, size - config.metric.margin, (4 * wanted, 3))
    here = scene.points_zyx - start
    drawn = drawn[np.linalg.norm(drawn[:, None] - here[None], axis=-1).min(axis=1, initial=np.inf) > CLEAR_VOXELS]
    densest = np.argsort(-smooth[tuple(drawn.T)], kind="stable")[:wanted]
    return np.asarray(drawn[densest], dtype=np.float64)


def draw_crop(scene: Scene, config: PretrainConfig, random: np.random.Generator, view: View | None = None) -> Crop:
    """Cut, mix the halves, normalise and flip; return ``(z, y, x)``, points ``(m, 3)`` and labels ``(m,)``.

    Without a view, place and mix are drawn.
    """
    metric, size = config.metric, config.crop
    if view is None:
        view = View(draw_start(scene, size, random), random.uniform(0, 1))
    start, share = view.start, view.share
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

    points = np.concatenate([particles, off_centre, background, view.places_zyx]).astype(np.float32)
    labels = np.concatenate([label, np.full(len(off_centre) + len(background), BACKGROUND), view.instance])
    for axis in np.flatnonzero(random.random(3) < 0.5):
        volume = np.flip(volume, int(axis))
        points[:, axis] = size - 1 - points[:, axis]
    return np.ascontiguousarray(volume), points, labels
