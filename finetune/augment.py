"""Random changes to a labelled crop that leave its labels true.

Volumes are z y x arrays, points ``(n, 3)`` z y x voxel coordinates in the crop.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform

from tomoseek.errors import InputError

Volume = npt.NDArray[np.float32]
Indices = npt.NDArray[np.float64]


@dataclass(kw_only=True, slots=True)
class AugmentConfig:
    """Which changes, and how strong.

    A flip maps the missing wedge onto itself for a tilt axis along y or x; a quarter turn about z swaps the
    tilt axis with its neighbour, and a free rotation tilts the wedge, so both are off unless asked for.
    """

    flip: bool
    quarter_turns: bool
    max_rotation_degrees: float
    max_scale: float
    intensity_scale: float
    intensity_shift: float
    noise: float

    def __post_init__(self) -> None:
        if not 0 <= self.max_scale < 0.5:
            raise InputError(f"augment.max_scale: expected 0 to 0.5, found {self.max_scale}")


@dataclass(slots=True)
class Warp:
    """A rotation about z and a scale, both about the crop's centre."""

    angle: float
    scale: float

    def source_size(self, size: tuple[int, int, int]) -> tuple[int, int, int]:
        """Size of the volume to read so that the warped crop of ``size`` has no empty corners."""
        if self.angle == 0 and self.scale == 1:
            return size
        c, s = abs(np.cos(self.angle)), abs(np.sin(self.angle))
        z, y, x = size
        needed = (z / self.scale, (c * y + s * x) / self.scale, (s * y + c * x) / self.scale)
        # Even margins keep both centres on the same half-voxel.
        return tuple(n + 2 * max(0, int(np.ceil((m - n) / 2)) + 1) for n, m in zip(size, needed, strict=True))  # type: ignore[return-value]

    def matrix(self) -> Indices:
        """Return the matrix from source to crop coordinates relative to the centres."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return self.scale * np.array([[1, 0, 0], [0, c, -s], [0, s, c]])

    def apply(self, volume: Volume, points: list[Indices], size: tuple[int, int, int]) -> tuple[Volume, list[Indices]]:
        """Cut a crop of ``size`` out of ``volume`` (of ``source_size``) and take the points along."""
        if self.angle == 0 and self.scale == 1:
            return volume, points
        source_centre = (np.array(volume.shape) - 1) / 2
        centre = (np.array(size) - 1) / 2
        inverse = np.linalg.inv(self.matrix())
        warped = affine_transform(volume, inverse, source_centre - inverse @ centre, output_shape=size, order=1)
        return warped.astype(np.float32), [(p - source_centre) @ self.matrix().T + centre for p in points]


def draw_warp(config: AugmentConfig, generator: np.random.Generator) -> Warp:
    """Draw a rotation about z and a scale; neither when both are switched off."""
    angle = np.radians(config.max_rotation_degrees) * generator.uniform(-1, 1)
    return Warp(float(angle), float(1 + config.max_scale * generator.uniform(-1, 1)))


def flip_and_turn(
    volume: Volume, points: list[Indices], config: AugmentConfig, generator: np.random.Generator
) -> tuple[Volume, list[Indices]]:
    """Flip each axis with probability a half, turn about z by a multiple of 90 degrees; as switched on."""
    flips = generator.random(3) < 0.5
    num_turns = int(generator.integers(4))
    if config.flip:
        last = np.array(volume.shape) - 1
        volume = np.flip(volume, tuple(int(axis) for axis in np.flatnonzero(flips)))
        points = [np.where(flips, last - p, p) for p in points]
    if config.quarter_turns:
        last_x = volume.shape[2] - 1
        volume = np.rot90(volume, num_turns, axes=(1, 2))
        for _ in range(num_turns):
            points = [np.stack([p[:, 0], last_x - p[:, 2], p[:, 1]], axis=1) for p in points]
    return np.ascontiguousarray(volume), points


def change_intensity(volume: Volume, config: AugmentConfig, generator: np.random.Generator) -> Volume:
    """Scale and shift the crop and add white noise of random strength up to ``noise``."""
    scale = 1 + config.intensity_scale * generator.uniform(-1, 1)
    shift = config.intensity_shift * generator.uniform(-1, 1)
    strength = config.noise * generator.random()
    changed = volume * np.float32(scale) + np.float32(shift)
    if config.noise > 0:
        changed += np.float32(strength) * generator.standard_normal(volume.shape, np.float32)
    return changed
