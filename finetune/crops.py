"""Labelled crops, drawn from tomograms as training goes.

Letters: b crops, c classes, z y x voxels, s cells of the heatmap.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from finetune.augment import AugmentConfig, change_intensity, draw_warp, flip_and_turn
from finetune.decoder import HEATMAP_STRIDE
from finetune.labels import LabelledRun
from finetune.targets import draw_heatmaps, target_sigmas
from tomoseek.errors import InputError
from tomoseek.geometry import indices_to_points, points_to_indices
from tomoseek.tomograms.part import Segmentation
from tomoseek.tomograms.tomogram import Tomogram

CELL_OF_ENCODER = 8


@dataclass(kw_only=True, slots=True)
class CropConfig:
    """How crops are drawn."""

    size: list[int]
    centred: float
    jitter: float
    mixup: float
    cache_gb: float

    def __post_init__(self) -> None:
        if len(self.size) != 3 or any(n <= 0 or n % CELL_OF_ENCODER for n in self.size):
            raise InputError(f"crops.size: expected three multiples of {CELL_OF_ENCODER} [z,y,x], found {self.size}")
        if not (0 <= self.centred <= 1 and 0 <= self.jitter <= 1):
            raise InputError("crops: centred and jitter are fractions between 0 and 1")


@dataclass(slots=True)
class Batch:
    """``volume`` ``(b, 1, z, y, x)``, ``target`` and ``known`` (0 where nothing is said) ``(b, c, s, s, s)``."""

    volume: Tensor
    target: Tensor
    known: Tensor


class Volumes:
    """Normalised crops of several tomograms; those that fit into ``cache_gb`` are kept as float16.

    Parameters
    ----------
    tomograms
        Where crops come from; in order, each is kept whole on first use until the budget is spent.
    cache_gb
        Budget in GB; 0 reads every crop from disk.
    """

    def __init__(self, tomograms: list[Tomogram], cache_gb: float) -> None:
        self.tomograms = tomograms
        left = cache_gb * 1e9
        self.fits: list[bool] = []
        for tomogram in tomograms:
            num_bytes = 2 * int(np.prod(tomogram.shape))
            self.fits.append(num_bytes <= left)
            left -= num_bytes if self.fits[-1] else 0
        self.kept: dict[int, npt.NDArray[np.float16]] = {}

    def known(
        self, number: int, start: npt.NDArray[np.int64], size: tuple[int, int, int]
    ) -> npt.NDArray[np.float32] | None:
        """Return 1 where a crop ``(z, y, x)`` lies in the segmentation that is trained on, else 0; None without one."""
        tomogram = self.tomograms[number]
        if not isinstance(tomogram.part, Segmentation):
            return None
        region = tuple(slice(int(a), int(a) + n) for a, n in zip(start, size, strict=True))
        places = np.moveaxis(np.mgrid[region], 0, -1).reshape(-1, 3)
        inside = tomogram.part.holds(indices_to_points(places, tomogram.voxel_spacing))
        return inside.reshape(size).astype(np.float32)

    def crop(self, number: int, start: npt.NDArray[np.int64], size: tuple[int, int, int]) -> npt.NDArray[np.float32]:
        """Return a normalised float32 crop ``(z, y, x)``; zeros outside the tomogram."""
        tomogram = self.tomograms[number]
        if not self.fits[number]:
            return tomogram.crop((int(start[0]), int(start[1]), int(start[2])), size)
        if number not in self.kept:
            self.kept[number] = tomogram.crop((0, 0, 0), tomogram.shape).astype(np.float16)
        whole = self.kept[number]
        first = np.maximum(start, 0)
        last = np.minimum(start + size, whole.shape)
        crop = np.zeros(size, np.float32)
        if np.all(first < last):
            a, b = first - start, last - start
            crop[a[0] : b[0], a[1] : b[1], a[2] : b[2]] = whole[
                first[0] : last[0], first[1] : last[1], first[2] : last[2]
            ]
        return crop


class CropSampler:
    """Batches of augmented crops, each a function of the seed and the step alone, so that a resume is exact.

    Parameters
    ----------
    runs
        Labelled tomograms.
    radii
        Class name to radius in Å; its order is the order of the heatmaps.
    config, augment
        How crops are drawn and changed.
    batch_size
        Crops per step.
    sigma_factor
        Width of the target over the radius.
    mask_absent
        Whether a run without labels of a class says nothing about it, rather than that it holds none.
    seed
        First half of every crop's random state; the step is the other.
    """

    def __init__(
        self, runs: list[LabelledRun], radii: dict[str, float], config: CropConfig, augment: AugmentConfig,
        batch_size: int, sigma_factor: float, mask_absent: bool, seed: int,
    ) -> None:  # fmt: skip
        if augment.quarter_turns and config.size[1] != config.size[2]:
            raise InputError(f"augment.quarter_turns: expected crops.size with y = x, found {config.size}")
        self.config, self.augment, self.batch_size, self.seed = config, augment, batch_size, seed
        self.volumes = Volumes([run.tomogram for run in runs], config.cache_gb)
        self.sigmas = [target_sigmas(list(radii.values()), run.tomogram.voxel_spacing, sigma_factor) for run in runs]
        self.indices = [
            [points_to_indices(run.points_xyz[name], run.tomogram.voxel_spacing) for name in radii] for run in runs
        ]
        self.known = np.array([[len(p) > 0 or not mask_absent for p in points] for points in self.indices], np.float32)
        # Every pick as (run, z, y, x), apart by class, so that a class is drawn first and one of its picks next.
        pools = [
            np.concatenate([np.column_stack([np.full(len(p[c]), r), p[c]]) for r, p in enumerate(self.indices)])
            for c in range(len(radii))
        ]
        self.pool = [pool for pool in pools if len(pool)]

    def batches(self, first_step: int) -> Iterator[Batch]:
        """Yield the batches of ``first_step`` and all later steps."""
        step = first_step
        while True:
            yield self.batch(step)
            step += 1

    def batch(self, step: int) -> Batch:
        """Draw the batch of one step."""
        generator = np.random.default_rng([self.seed, step])
        crops = [self.crop(generator) for _ in range(self.batch_size)]
        volume, target, known = (torch.from_numpy(np.stack(part)) for part in zip(*crops, strict=True))
        if self.config.mixup > 0:
            order = torch.from_numpy(generator.permutation(len(volume)))
            share = float(generator.beta(self.config.mixup, self.config.mixup))
            volume = share * volume + (1 - share) * volume[order]
            target = share * target + (1 - share) * target[order]
            known = known * known[order]
        return Batch(volume[:, None], target, known)  # (b, 1, z, y, x)

    def crop(
        self, generator: np.random.Generator
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Draw one crop: volume ``(z, y, x)``, heatmaps and where they are known ``(c, s, s, s)``."""
        size = (self.config.size[0], self.config.size[1], self.config.size[2])
        warp = draw_warp(self.augment, generator)
        source = warp.source_size(size)
        run, start = self.place(generator, source)
        volume, inside = self.volumes.crop(run, start, source), self.volumes.known(run, start, source)
        volume, moved = warp.apply(volume, [points - start for points in self.indices[run]], size)
        as_before = copy.deepcopy(generator)
        volume, moved = flip_and_turn(volume, moved, self.augment, generator)
        target = draw_heatmaps(moved, [sigma * warp.scale for sigma in self.sigmas[run]], size)
        known = np.broadcast_to(self.known[run][:, None, None, None], target.shape)
        if inside is not None:
            inside, _ = flip_and_turn(warp.apply(inside, [], size)[0], [], self.augment, as_before)
            known = known * (inside[1::HEATMAP_STRIDE, 1::HEATMAP_STRIDE, 1::HEATMAP_STRIDE] > 0.5)
        return change_intensity(volume, self.augment, generator), target, known

    def place(self, generator: np.random.Generator, size: tuple[int, int, int]) -> tuple[int, npt.NDArray[np.int64]]:
        """Choose a run and a first voxel, near a pick or anywhere; the crop stays inside where it fits."""
        extent = np.array(size)
        if generator.random() < self.config.centred and self.pool:
            pool = self.pool[generator.integers(len(self.pool))]
            number, *index = pool[generator.integers(len(pool))]
            run = int(number)
            shift = self.config.jitter * generator.uniform(-0.5, 0.5, 3) * extent
            start = np.rint(np.array(index) - extent / 2 + shift).astype(np.int64)
        else:
            run = int(generator.integers(len(self.indices)))
            start = np.array(self.volumes.tomograms[run].draw_place(size, generator))
        room = np.array(self.volumes.tomograms[run].shape) - extent
        return run, np.clip(start, np.minimum(0, room), np.maximum(0, room))
