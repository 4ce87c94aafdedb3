"""Crops of unlabeled tomograms, read where they are needed and never more than a batch at a time."""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from pretrain.config import PretrainConfig
from pretrain.masked import draw_pieces
from tomoseek.failures import Failures
from tomoseek.tomograms.copick_tomograms import find_tomograms
from tomoseek.tomograms.polarity import check_usable
from tomoseek.tomograms.tomogram import Tomogram


def find_sources(config: PretrainConfig) -> list[tuple[Tomogram, ...]]:
    """List the project's tomograms: for each run its halves (``half_types``), or the one reconstruction.

    They are at the voxel spacing of the encoder, as far as ``data.resample`` says so. Bad ones are left out with a
    warning.

    Raises
    ------
    InputError
        If the project or a chosen run is not there, or no tomogram can be read.
    """
    types, failures = config.half_types or [config.data.tomogram_type], Failures()
    per_type = [
        {each.run: each for each in find_tomograms(dataclasses.replace(config.data, tomogram_type=name), failures)}
        for name in types
    ]
    known, sources = config.model.voxel_spacing, []
    for run in per_type[0]:
        if run in failures.reasons:
            continue
        with failures.of(run):
            source = tuple(found[run].resampled(config.data.resample, known) for found in per_type)
            for each in source:
                check_usable(each)
            sources.append(source)
    failures.warn_of_rest(len(sources))
    return sources


class MaskedCrops:
    """Random crops of the tomograms of a project, in pairs of two halves where there are halves.

    Every batch is a function of ``(seed, step, rank)`` alone, so that a resumed run sees what an uninterrupted
    one sees.
    """

    def __init__(self, config: PretrainConfig, rank: int) -> None:
        self.config = config
        self.rank = rank
        self.sources = find_sources(config)
        voxels = np.array([np.prod(source[0].shape, dtype=float) for source in self.sources])
        self.share = voxels / voxels.sum()

    def batch(self, step: int) -> dict[str, Tensor]:
        """Draw the batch of a step: ``input`` and ``target`` crops, ``visible`` and ``hidden`` pieces."""
        config = self.config
        random = np.random.default_rng([config.seed, 1, step, self.rank])
        inputs, targets = [], []
        for index in random.choice(len(self.sources), config.batch_size, p=self.share):
            source = self.sources[index]
            first, second = random.permutation(len(source))[[0, -1]]
            size = (config.crop,) * 3
            start = source[0].draw_place(size, random)
            pair = [source[k].crop(start, size) for k in (first, second)]
            flips = tuple(int(axis) for axis in np.flatnonzero(random.random(3) < 0.5))
            inputs.append(np.flip(pair[0], flips))
            targets.append(np.flip(pair[1], flips))
        return {
            "input": torch.from_numpy(np.stack(inputs)), "target": torch.from_numpy(np.stack(targets)),
            **hide(config, random),
        }  # fmt: skip


def hide(config: PretrainConfig, random: np.random.Generator) -> dict[str, Tensor]:
    """Draw the pieces of a batch's crops that stay ``visible``, and of the ``hidden`` ones those to be rebuilt."""
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))
    num_pieces, masked = (config.crop // config.masked.piece) ** 3, config.masked
    visible, hidden = draw_pieces(config.batch_size, num_pieces, masked.mask_ratio, masked.rebuilt_share, generator)
    return {"visible": visible, "hidden": hidden}
