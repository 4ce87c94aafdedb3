"""The representations compared: an encoder, and the controls that need none."""

from itertools import pairwise

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from benchmarks.known_tomograms import KnownTomograms
from benchmarks.pretraining.probe.measures import DenseFeatures
from tomoseek.network.encoder import Encoder
from tomoseek.network.strides import EMBEDDING_STRIDE
from tomoseek.running import autocast
from tomoseek.tomograms.tiling import predict_tiled
from tomoseek.tomograms.tomogram import Tomogram

TILE, OVERLAP = 96, 16
PATCH_SIGMA = 2.0
PATCH_STEPS = (-10, -5, 0, 5, 10)  # voxels
DOG_SIGMAS = (1.5, 2.1, 3.0, 4.2, 6.0, 8.5, 12.0)  # voxels


def encoder_features(encoder: Encoder, known: KnownTomograms, device: torch.device) -> list[DenseFeatures]:
    """Embed every tomogram of a known."""

    def embedding_and_logit(volume: Tensor) -> Tensor:
        with autocast(device):
            return torch.cat(encoder.embed(volume), dim=1)  # b e+1 z/4 y/4 x/4

    features = []
    for tomogram in known.tomograms:
        dense = predict_tiled(
            tomogram, embedding_and_logit, tile=(TILE,) * 3, overlap=OVERLAP, stride=EMBEDDING_STRIDE,
            num_channels=encoder.config.embedding_dim + 1, device=device, progress=False, dtype=np.float32,
        )  # fmt: skip
        features.append(
            DenseFeatures(tomogram.voxel_spacing, unit(np.moveaxis(dense[:-1], 0, -1)), dense[-1].astype(np.float32))
        )
    return features


def raw_voxels(known: KnownTomograms) -> list[DenseFeatures]:
    """Smoothed voxels: 5 x 5 x 5 samples, 50 Å apart, of a Gaussian low-pass around each cell."""
    features = []
    for tomogram in known.tomograms:
        smooth = ndimage.gaussian_filter(normalised(tomogram), PATCH_SIGMA)
        grids = np.meshgrid(
            *[np.arange(n // EMBEDDING_STRIDE) * EMBEDDING_STRIDE + EMBEDDING_STRIDE // 2 for n in tomogram.shape],
            indexing="ij",
        )
        samples = [
            smooth[tuple(np.clip(g + s, 0, n - 1) for g, s, n in zip(grids, shift, smooth.shape, strict=True))]
            for shift in np.stack(np.meshgrid(*[PATCH_STEPS] * 3, indexing="ij"), -1).reshape(-1, 3)
        ]
        features.append(DenseFeatures(tomogram.voxel_spacing, unit(np.stack(samples, -1))))
    return features


def difference_of_gaussians(known: KnownTomograms) -> list[DenseFeatures]:
    """Six differences of Gaussians per cell, each in units of its own spread."""
    features = []
    for tomogram in known.tomograms:
        volume = normalised(tomogram)
        levels = [
            ndimage.gaussian_filter(volume, sigma)[2::EMBEDDING_STRIDE, 2::EMBEDDING_STRIDE, 2::EMBEDDING_STRIDE]
            for sigma in DOG_SIGMAS
        ]
        bands = np.stack([fine - coarse for fine, coarse in pairwise(levels)], -1)
        features.append(DenseFeatures(tomogram.voxel_spacing, unit(bands / bands.std(axis=(0, 1, 2)))))
    return features


def normalised(tomogram: Tomogram) -> np.ndarray:
    """Return the whole tomogram, protein positive."""
    return tomogram.crop((0, 0, 0), tomogram.shape)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale ``(..., e)`` to length 1."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(length, 1e-6), dtype=np.float32)
