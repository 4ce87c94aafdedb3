"""Crops cut from labelled scenes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pretrain.config import PretrainConfig
from pretrain.metric import BACKGROUND, UNNAMED

OFF_CENTRE_VOXELS = (4.0, 8.0)
CLEAR_VOXELS = 10.0  # of background from labelled particles
APART_VOXELS = 4.0  # of what is no particle from the centre of any
MOST_UNNAMED = 16  # particles of no class from one crop

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Crop:
    """A crop and points in it.

    Attributes
    ----------
    volume, target
        ``(z, y, x)``: normalised; the target of masked autoencoding shows the same place with other noise, and is
        None where nothing is rebuilt.
    points
        ``(m, 3)`` voxel z y x.
    label
        ``(m,)``, see `pretrain.metric`.
    """

    volume: Floats
    target: Floats | None
    points: Floats
    label: NDArray[np.int64]


@dataclass(slots=True)
class Scene:
    """One tomogram with particles: its two halves in float16, contrast numbers, particles and what is none."""

    halves: NDArray[np.float16]  # 2 z y x
    centre: float
    signal_variance: float
    noise_variance: float
    points_zyx: NDArray[np.float32]  # m 3, voxels
    label: NDArray[np.int64]  # m
    unnamed_zyx: Floats  # n 3, particles of no class
    clutter_zyx: Floats  # k 3, on bilayers, filaments and beads


def draw_crops(scenes: tuple[Scene, Scene], config: PretrainConfig, random: np.random.Generator) -> list[Crop]:
    """Draw a batch of crops from both scenes by turns."""
    return [draw_crop(scenes[k % 2], config, random) for k in range(config.batch_size)]


def draw_crop(scene: Scene, config: PretrainConfig, random: np.random.Generator) -> Crop:
    """Cut, mix the halves, normalise and flip."""
    size = config.crop
    start = random.integers(0, np.array(scene.halves.shape[1:]) - size + 1)
    share = random.uniform(0, 1)  # of the first half
    region = tuple(slice(int(s), int(s) + size) for s in start)
    half = scene.halves[:, region[0], region[1], region[2]].astype(np.float32)
    variance = scene.signal_variance + scene.noise_variance * (share**2 + (1 - share) ** 2)
    scale = random.uniform(0.85, 1.15) / np.sqrt(variance)
    offset = random.normal(0, 0.05)
    axes = tuple(int(axis) for axis in np.flatnonzero(random.random(3) < 0.5))

    def mixed(part: float) -> Floats:
        volume = (part * half[0] + (1 - part) * half[1] - scene.centre) * scale + offset
        return np.ascontiguousarray(np.flip(np.clip(volume, -8, 8), axes), dtype=np.float32)

    target = mixed(1 - share) if config.metric.masked_weight else None
    points, labels = draw_points(scene, start, config, random)
    points[:, axes] = size - 1 - points[:, axes]
    return Crop(mixed(share), target, points, labels)


def draw_points(
    scene: Scene, start: NDArray[np.int64], config: PretrainConfig, random: np.random.Generator
) -> tuple[Floats, NDArray[np.int64]]:
    """Draw the points ``(m, 3)`` and labels ``(m,)`` of a crop: particles, places beside them, clutter, background."""
    metric, size = config.metric, config.crop
    named, unnamed = scene.points_zyx - start, scene.unnamed_zyx - start
    inside = _inside(named, metric.margin, size)
    centres, label = named[inside], scene.label[inside]
    particles = centres + random.normal(0, metric.jitter, centres.shape)
    direction = random.normal(size=centres.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    off_centre = centres + direction * random.uniform(*OFF_CENTRE_VOXELS, (len(centres), 1))
    background = random.uniform(4, size - 5, (metric.background_points, 3))
    background = background[_distance(background, named) > CLEAR_VOXELS]
    others = unnamed[_inside(unnamed, metric.margin, size)]
    others = others[random.permutation(len(others))[:MOST_UNNAMED]]
    others = others + random.normal(0, metric.jitter, others.shape)
    clutter = scene.clutter_zyx - start
    clutter = clutter[_inside(clutter, metric.margin, size)]
    clutter = clutter[random.permutation(len(clutter))[: metric.clutter_points]]
    nothing = np.concatenate([off_centre, background, clutter])
    nothing = nothing[_distance(nothing, np.concatenate([named, unnamed])) >= APART_VOXELS]
    points = np.concatenate([particles, others, nothing]).astype(np.float32)
    labels = np.concatenate([label, np.full(len(others), UNNAMED), np.full(len(nothing), BACKGROUND)])
    return points, labels


def _inside(points: NDArray[np.floating[Any]], margin: int, size: int) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = np.all((points >= margin) & (points <= size - 1 - margin), axis=1)
    return inside


def _distance(points: NDArray[np.floating[Any]], centres: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Distance ``(n,)`` of each point to the nearest of the centres; infinite where there is none."""
    apart = np.linalg.norm(points[:, None] - centres[None], axis=-1)  # n m
    nearest: NDArray[np.float64] = apart.min(axis=1, initial=np.inf)
    return nearest
