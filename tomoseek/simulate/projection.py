"""Project a volume to a tilt series, and back.

The tilt axis is y. At tilt angle t a voxel at (z, x) from the centre falls on detector position
``x cos t + z sin t`` from the middle of the detector, and is shared linearly between the two nearest pixels.
Every y takes the same shares, so one sparse matrix does all of it, and its transpose projects: 41 tilts of a
184 x 630 x 630 volume are a few seconds of sparse-times-dense on two cores, quicker than gathering.

The detector is wide enough for every voxel at every tilt; nothing lies outside the volume.

t tilts, d detector pixels along x, c columns (y)
"""

import math
import warnings
from dataclasses import dataclass

import torch
from einops import rearrange
from scipy.fft import next_fast_len
from torch import Tensor

# Bounds the transposed copies; narrower blocks read the matrix more often.
_COLUMNS = 128


@dataclass(frozen=True, slots=True)
class TiltGeometry:
    """Shares of voxels in detector pixels, for one (z, x) shape and one set of tilts.

    Attributes
    ----------
    tilts_degree
        In order of the angle.
    shape_zx
        Voxels.
    num_detector
        Detector pixels along x.
    spread, gather
        Sparse ``(t * d, z * x)`` and its transpose.
    """

    tilts_degree: tuple[float, ...]
    shape_zx: tuple[int, int]
    num_detector: int
    spread: Tensor
    gather: Tensor


def tilt_geometry(tilts_degree: tuple[float, ...], shape_zx: tuple[int, int], device: torch.device) -> TiltGeometry:
    """Compute where every voxel falls on the detector at every tilt."""
    num_z, num_x = shape_zx
    num_detector = 2 * math.ceil(math.hypot(num_z, num_x) / 2) + 2
    angle = torch.deg2rad(torch.tensor(tilts_degree, device=device))
    z = torch.arange(num_z, device=device) - (num_z - 1) / 2
    x = torch.arange(num_x, device=device) - (num_x - 1) / 2
    position = x[:, None] * angle.cos() + z[:, None, None] * angle.sin()  # (z, x, t)
    position = position + (num_detector - 1) / 2
    left = position.floor()
    share = position - left
    first = left.int() + num_detector * torch.arange(len(angle), device=device, dtype=torch.int32)
    columns = torch.stack([first, first + 1], -1).flatten()
    values = torch.stack([1 - share, share], -1).flatten()
    starts = torch.arange(num_z * num_x + 1, device=device, dtype=torch.int32) * (2 * len(angle))
    detector_by_voxel = (len(angle) * num_detector, num_z * num_x)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")
        arrays = (starts, columns, values)
        gather = torch.sparse_csr_tensor(*arrays, detector_by_voxel[::-1], check_invariants=False)
        # The same three arrays, read as compressed columns, are the transpose.
        spread = torch.sparse_csc_tensor(*arrays, detector_by_voxel, check_invariants=False)
        spread = spread.to_sparse_csr()
    return TiltGeometry(tilts_degree, shape_zx, num_detector, spread, gather)


def detector_positions(index_zyx: Tensor, geometry: TiltGeometry) -> Tensor:
    """Return ``(t, n)``: the fractional detector pixels, along x, on which ``(n, 3)`` voxel indices fall."""
    num_z, num_x = geometry.shape_zx
    angle = torch.deg2rad(torch.tensor(geometry.tilts_degree, dtype=index_zyx.dtype))[:, None]
    z, x = index_zyx[:, 0] - (num_z - 1) / 2, index_zyx[:, 2] - (num_x - 1) / 2
    return x * angle.cos() + z * angle.sin() + (geometry.num_detector - 1) / 2


def project(volume: Tensor, geometry: TiltGeometry) -> Tensor:
    """Sum a ``(z, y, x)`` volume along the beam at every tilt.

    Returns
    -------
    Tensor
        ``(t, y, d)``: sums over voxels; times the voxel spacing they are line integrals.
    """
    num_y = volume.shape[1]
    series = volume.new_empty(len(geometry.tilts_degree), num_y, geometry.num_detector)
    for first in range(0, num_y, _COLUMNS):
        block = slice(first, first + _COLUMNS)
        dense = rearrange(volume[:, block], "z c x -> (z x) c").contiguous()
        summed = geometry.spread @ dense  # (t d, c)
        series[:, block] = rearrange(summed, "(t d) c -> t c d", d=geometry.num_detector)
    return series


def back_project(series: Tensor, geometry: TiltGeometry) -> Tensor:
    """Sum over tilts, for every voxel, the detector values where it falls; the transpose of `project`.

    Parameters
    ----------
    series
        ``(t, y, d)``, already filtered.

    Returns
    -------
    Tensor
        ``(z, y, x)``.
    """
    num_z, num_x = geometry.shape_zx
    num_y = series.shape[1]
    volume = series.new_empty(num_z, num_y, num_x)
    for first in range(0, num_y, _COLUMNS):
        block = slice(first, first + _COLUMNS)
        dense = rearrange(series[:, block], "t c d -> (t d) c").contiguous()
        summed = geometry.gather @ dense  # (z x, c)
        volume[:, block] = rearrange(summed, "(z x) c -> z c x", x=num_x)
    return volume


def ramp_filter(
    series: Tensor, tilts_degree: tuple[float, ...], cutoff: float, falloff: float, sirt_iterations: int | None = None
) -> Tensor:
    """Weight a tilt series so that its back-projection is a density instead of a blur.

    Parameters
    ----------
    series
        ``(t, y, d)``.
    tilts_degree
        Every tilt stands for the angles nearest to it.
    cutoff
        Cycles per voxel, at most 0.5, up to which the weight is the frequency itself.
    falloff
        Cycles per voxel; standard deviation of the Gaussian by which it falls beyond.
    sirt_iterations
        Weight as so many iterations of SIRT would, which leaves fine detail and noise weaker; None: not at all.

    References
    ----------
    Zeng, A filtered backprojection algorithm with characteristics of the iterative Landweber algorithm, 2012: n
    iterations let pass ``1 - (1 - a / f)^n``, a being here the lowest frequency of the detector; IMOD's SIRT-like
    filter.
    Kak & Slaney, Principles of Computerized Tomographic Imaging, section 3.3: the ramp sampled in real space,
    zero-padded, keeps low frequencies right. The cut-off with its Gaussian is IMOD's RADIAL entry.
    """
    num_detector = series.shape[2]
    padded = int(next_fast_len(2 * num_detector, real=True))
    shift = torch.arange(padded, device=series.device)
    shift = torch.minimum(shift, padded - shift)
    kernel = torch.where(shift % 2 == 1, -1 / (math.pi * shift.clamp_min(1).float()) ** 2, 0.0)
    kernel[0] = 0.25
    frequency = torch.fft.rfftfreq(padded, device=series.device)
    weight = torch.fft.rfft(kernel).real
    weight = weight * torch.exp(-0.5 * ((frequency - cutoff).clamp_min(0) / falloff) ** 2)
    if sirt_iterations is not None:
        slowest = (frequency * num_detector).clamp_min(1.0)  # f / a
        weight = weight * (1 - (1 - 1 / slowest) ** sirt_iterations)
    filtered = torch.empty_like(series)
    for index, width in enumerate(_angular_widths(tilts_degree)):
        spectrum = torch.fft.rfft(series[index], n=padded)  # (y, d/2+1)
        filtered[index] = torch.fft.irfft(spectrum * (weight * width), n=padded)[:, :num_detector]
    return filtered


def _angular_widths(tilts_degree: tuple[float, ...]) -> list[float]:
    """Radians that each tilt stands for: half the way to either neighbour, alike at the two ends."""
    if len(tilts_degree) == 1:
        return [1.0]
    angle = torch.deg2rad(torch.tensor(tilts_degree, dtype=torch.float64))
    step = angle.diff()
    before, after = torch.cat([step[:1], step]), torch.cat([step, step[-1:]])
    return [float(width) for width in (before + after) / 2]
