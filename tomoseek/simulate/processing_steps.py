"""The steps of processing a reconstruction, each by itself.

Lengths in Å, frequencies in 1/Å. Volumes are ``(z, y, x)`` with protein dark; every step leaves shape and places as
they are, and protein dark. Filters in Fourier space are periodic: what leaves at one face comes back at the other.
"""

import math

import numpy as np
import torch
from torch import Tensor

from tomoseek.simulate.microscope import MicroscopeConfig, contrast_transfer
from tomoseek.tomograms.resample import lanczos

HIGHPASS = 0.02  # share of Nyquist below which deconvolution amplifies nothing, the default of Warp and IsoNet
EDGE = 0.2  # of the low-pass: how far before its cut-off it begins to fall, as a share of the cut-off
DIFFUSION_STEP = 1 / 7  # stable up to 1/6 in three dimensions
SAMPLE = 2**17  # voxels that a spread is measured on


def bin_and_resample(volume: Tensor, factor: float, averaged: bool) -> Tensor:
    """Bring a volume to voxels ``factor`` times as large, and back to its grid.

    ``averaged``: each large voxel is the mean of what falls on it, as in binning (IMOD's ``binvol``), where detail
    finer than two large voxels is weakened and folds back as false detail; voxels at the faces of large ones are
    shared. Otherwise a windowed sinc takes that detail out first, as Fourier cropping does. The first voxel of both
    grids is centred at the same place. Back it goes as a tomogram of such voxels is read, by
    `tomoseek.tomograms.resample`.
    """
    for axis, length in enumerate(volume.shape):
        both_ways = _bin_matrix(length, factor, averaged).to(volume.device)  # (n, n)
        volume = torch.tensordot(volume, both_ways, dims=([axis], [1])).movedim(-1, axis)
    return volume.contiguous()


def _bin_matrix(length: int, factor: float, averaged: bool) -> Tensor:
    """Weights ``(length, length)`` along one axis, to large voxels and back to small ones."""
    num_large = math.ceil((length - 0.5) / factor + 0.5 - 1e-9)
    coarsen = np.zeros((num_large, length), dtype=np.float32)
    if averaged:
        large, small = np.arange(num_large)[:, None] * factor, np.arange(length)
        far = np.minimum(large + factor / 2, small + 0.5)
        coarsen += (far - np.maximum(large - factor / 2, small - 0.5)).clip(0)  # overlap in small voxels
        coarsen /= coarsen.sum(1, keepdims=True)
    else:
        start, weights = lanczos(0, num_large, factor, length)
        coarsen[:, start : start + weights.shape[1]] = weights
    start, weights = lanczos(0, length, 1 / factor, num_large)
    return torch.from_numpy(weights @ coarsen[start : start + weights.shape[1]])


def radial_frequency(volume: Tensor, voxel_spacing: float) -> Tensor:
    """Return ``(z, y, x/2+1)`` in 1/Å, on the grid of `torch.fft.rfftn`."""
    num_z, num_y, num_x = volume.shape
    kz = torch.fft.fftfreq(num_z, voxel_spacing, device=volume.device)
    ky = torch.fft.fftfreq(num_y, voxel_spacing, device=volume.device)
    kx = torch.fft.rfftfreq(num_x, voxel_spacing, device=volume.device)
    return torch.hypot(kz[:, None, None], torch.hypot(ky[:, None], kx))


def filtered(volume: Tensor, gain: Tensor) -> Tensor:
    """Multiply the spectrum of ``(z, y, x)`` by a real gain ``(z, y, x/2+1)``."""
    result: Tensor = torch.fft.irfftn(torch.fft.rfftn(volume) * gain, s=volume.shape)
    return result


def wiener_filter(
    frequency: Tensor,
    voxel_spacing: float,
    defocus_um: float,
    strength: float,
    falloff: float,
    microscope: MicroscopeConfig,
) -> Tensor:
    """Return the gain ``c / (c² + 1/snr)`` that undoes contrast transfer c; positive at low frequency.

    The signal to noise expected is ``10^(3 strength) exp(-100 falloff f / voxel_spacing)``, f the share of Nyquist
    (so ``exp(-200 falloff k)``), times ``1 - cos(pi min(1, f / 0.02))``, which keeps slow gradients from growing.

    References
    ----------
    Tegunov & Cramer 2019, Nat Methods 16, and its `tom_deconv`; Liu et al. 2022 (IsoNet), Nat Commun 13:6482.
    """
    transfer = -contrast_transfer(frequency, defocus_um, microscope) / 2
    share = frequency * (2 * voxel_spacing)  # of Nyquist
    highpass = 1 - torch.cos(math.pi * (share / HIGHPASS).clamp_max(1))
    snr = 10 ** (3 * strength) * torch.exp(-100 * falloff / voxel_spacing * share) * highpass
    return transfer * snr / (transfer**2 * snr + 1)


def diffuse(volume: Tensor, iterations: int, edge: float) -> Tensor:
    """Let neighbours even out, less where the volume is steep: noise goes, edges stay.

    ``dv/dt = div(g grad v)`` with ``g = 1 / (1 + |grad u|² / K²)``, u the volume blurred by 1 2 1 along every axis, so
    that noise is not taken for edges; K is ``edge`` robust standard deviations of the volume as it comes.

    References
    ----------
    Perona & Malik 1990, IEEE PAMI 12, equation 7; Catté et al. 1992, SIAM J Numer Anal 29 (blurring); for tomograms
    Frangakis & Hegerl 2001, J Struct Biol 135, whose diffusion also follows the direction of edges.
    """
    volume = volume.clone()
    steep = edge * robust_deviation(volume)
    for _ in range(iterations):
        blurred = volume
        for axis in range(3):
            blurred = _blur(blurred, axis)
        steepness = torch.ones_like(volume)
        for axis, length in enumerate(volume.shape):
            slope = blurred.narrow(axis, 2, length - 2) - blurred.narrow(axis, 0, length - 2)
            # Central differences span two voxels.
            steepness.narrow(axis, 1, length - 2).addcmul_(slope, slope, value=1 / (2 * steep) ** 2)
        passes = steepness.reciprocal_()
        change = torch.zeros_like(volume)
        for axis, length in enumerate(volume.shape):
            flow = torch.diff(volume, dim=axis)
            flow.mul_(passes.narrow(axis, 0, length - 1) + passes.narrow(axis, 1, length - 1))
            change.narrow(axis, 0, length - 1).add_(flow)
            change.narrow(axis, 1, length - 1).sub_(flow)
        volume.add_(change, alpha=DIFFUSION_STEP / 2)
    return volume


def _blur(volume: Tensor, axis: int) -> Tensor:
    """Weigh neighbours along an axis by 1 2 1; beyond the ends the last value goes on."""
    last = volume.shape[axis] - 1
    blurred = volume / 2
    blurred.narrow(axis, 1, last).add_(volume.narrow(axis, 0, last), alpha=0.25)
    blurred.narrow(axis, 0, last).add_(volume.narrow(axis, 1, last), alpha=0.25)
    for end in (0, last):
        blurred.select(axis, end).add_(volume.select(axis, end), alpha=0.25)
    return blurred


def lowpass_filter(frequency: Tensor, cutoff_angstrom: float) -> Tensor:
    """Return a gain of 1 that falls along a Gaussian from four fifths of the cut-off on and is 1/2 at the cut-off.

    The cut-off means what it means in RELION (``--lowpass``: the middle of the edge); the shape is IMOD's
    (``mtffilter -lowpass``: 1 up to a radius, then a Gaussian).
    """
    cutoff = 1 / cutoff_angstrom
    beyond = (frequency - (1 - EDGE) * cutoff).clamp_min(0) / (EDGE * cutoff)
    return torch.exp(-math.log(2) * beyond**2)


def sloped(volume: Tensor, contrast: float, background: float) -> Tensor:
    """Let contrast and background change linearly through z, as through a lamella that is unevenly thick or damaged.

    Contrast goes from 1 - ``contrast`` to 1 + ``contrast``, the background from minus to plus ``background`` robust
    standard deviations. A model of what is seen, not of its cause.
    """
    height = torch.linspace(-1, 1, len(volume), device=volume.device)[:, None, None]  # (z, 1, 1)
    return volume * (1 + contrast * height) + background * robust_deviation(volume) * height


def quantise(volume: Tensor, deviations: float) -> Tensor:
    """Round to 256 levels that span the median ± ``deviations`` robust standard deviations; values beyond are cut off.

    As in 8-bit MRC files (IMOD's ``newstack -mode 0 -meansd``), mapped back to the values the levels stand for.
    """
    span = deviations * robust_deviation(volume)
    low = float(_sample(volume).median()) - span
    level = ((volume - low) * (255 / (2 * span))).round_().clamp_(0, 255)
    return level * (2 * span / 255) + low


def robust_deviation(volume: Tensor) -> float:
    """Return 1.4826 times the median distance from the median, the standard deviation of normal noise."""
    sample = _sample(volume)
    return max(1.4826 * float((sample - sample.median()).abs().median()), 1e-12)


def _sample(volume: Tensor) -> Tensor:
    """Take voxels at even distance; an odd one, so that they do not fall on few columns."""
    return volume.flatten()[:: max(1, volume.numel() // SAMPLE) | 1]
