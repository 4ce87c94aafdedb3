"""Template matching with a known density: the control that search from examples is held against
(`benchmarks.pretraining.probe`).

It is told what an expert could know: the density, the range of tilts and the true defocus. The template gets the
missing wedge, the contrast transfer and the whitening of the tomogram, in each of many rotations; a voxel's score is
the highest correlation coefficient.

References
----------
Roseman 2003, Ultramicroscopy 94: locally normalised correlation by Fourier transforms. Alexa 2022, CVPR,
"Super-Fibonacci Spirals": rotations. Chaillet et al. 2023, Int J Mol Sci 24: wedge, contrast transfer and whitening
as in pytom-match-pick.

r rotations, s samples along each axis of the template's cube, d x y z
"""

import math

import numpy as np
import torch
from scipy.fft import next_fast_len
from scipy.spatial.transform import Rotation
from torch import Tensor

from tomoseek.simulate.microscope import MicroscopeConfig, contrast_transfer

SHELL = 1e-3  # 1/Å, width of a shell of the noise spectrum
SPREAD = 60.0  # Å around a density that contrast transfer and wedge may fill
BATCH = 16

Shape = tuple[int, ...]


def uniform_rotations(count: int) -> Tensor:
    """Return ``(count, 3, 3)`` rotations spread evenly over all orientations, by super-Fibonacci spirals."""
    place = np.arange(count) + 0.5
    inner, outer = np.sqrt(place / count), np.sqrt(1 - place / count)
    first = 2 * np.pi * place / np.sqrt(2)
    second = 2 * np.pi * place / 1.533751168755204288  # the root of psi**4 = psi + 4
    quaternion = [inner * np.sin(first), inner * np.cos(first), outer * np.sin(second), outer * np.cos(second)]
    return torch.from_numpy(Rotation.from_quat(np.stack(quaternion, 1)).as_matrix()).float()


def frequencies(shape: Shape, spacing_zyx: list[float], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the frequency in 1/Å and the tilt in degrees (0 to 90) that sees it, as ``rfftn`` lays them out."""
    kz = torch.fft.fftfreq(shape[0], spacing_zyx[0], device=device)[:, None, None]
    ky = torch.fft.fftfreq(shape[1], spacing_zyx[1], device=device)[:, None]
    kx = torch.fft.rfftfreq(shape[2], spacing_zyx[2], device=device)
    tilt = torch.rad2deg(torch.atan2(kz.abs(), kx.abs()))  # about y
    return (kz**2 + ky**2 + kx**2).sqrt(), tilt.expand(shape[0], shape[1], -1)


def resample(volume: Tensor, shape: Shape) -> Tensor:
    """Sample a periodic volume in another number of voxels, by cutting or padding its spectrum."""
    spectrum = torch.fft.rfftn(volume)
    resampled = spectrum.new_zeros(shape[0], shape[1], shape[2] // 2 + 1)
    half_z, half_y, half_x = ((min(n, m) - 1) // 2 for n, m in zip(volume.shape, shape, strict=True))
    for z in (slice(0, half_z + 1), slice(-half_z, None)):
        for y in (slice(0, half_y + 1), slice(-half_y, None)):
            resampled[z, y, : half_x + 1] = spectrum[z, y, : half_x + 1]
    sampled: Tensor = torch.fft.irfftn(resampled, s=shape)
    return sampled * (math.prod(shape) / volume.numel())


def noise_power(volume: Tensor, frequency: Tensor, seen: Tensor) -> Tensor:
    """Return the mean power of each shell of frequency, what the missing wedge hides left out."""
    shell = (frequency[seen] / SHELL).long()
    total = torch.bincount(shell, torch.fft.rfftn(volume)[seen].abs().square())
    return total / torch.bincount(shell).clamp_min(1) + 1e-6 * total.max()


def whitening(power: Tensor, frequency: Tensor) -> Tensor:
    """Return one over the amplitude of the noise, interpolated between the middles of shells."""
    place = (frequency / SHELL - 0.5).clamp(0, len(power) - 1)
    low = place.long().clamp_max(len(power) - 2)
    return torch.lerp(power[low], power[low + 1], place - low).rsqrt()


def turned_templates(
    density: Tensor, voxel_spacing: float, rotations: Tensor, spacing_zyx: list[float], weight: Tensor, mask: Tensor
) -> Tensor:
    """Turn a density, weight its spectrum, and give it mean 0 and norm 1 within the mask: ``(r, s, s, s)``."""
    z, y, x = centred_grid(mask.shape, spacing_zyx, density.device)
    # Row vectors times R: the inverse rotation, from the tomogram back into the density.
    grid = torch.einsum("zyxd,rde->rzyxe", torch.stack([x, y, z], -1), rotations)
    grid = grid / (density.shape[0] // 2 * voxel_spacing)
    source = density.expand(len(rotations), 1, -1, -1, -1)
    turned = torch.nn.functional.grid_sample(source, grid, align_corners=True)[:, 0]  # (r, s, s, s)
    spectrum = torch.fft.rfftn(turned, dim=(1, 2, 3)) * weight
    template = torch.fft.irfftn(spectrum, s=mask.shape, dim=(1, 2, 3))
    mean = (template * mask).sum((1, 2, 3), keepdim=True) / mask.sum()
    centred: Tensor = (template - mean) * mask
    return centred / centred.square().sum((1, 2, 3), keepdim=True).sqrt()


def centred_grid(shape: Shape, spacing_zyx: list[float], device: torch.device) -> tuple[Tensor, ...]:
    """Return z, y and x in Å from voxel ``n // 2`` of every axis."""
    steps = [(torch.arange(n, device=device) - n // 2) * s for n, s in zip(shape, spacing_zyx, strict=True)]
    return torch.meshgrid(*steps, indexing="ij")


def correlate(spectrum: Tensor, template: Tensor, shape: Shape) -> Tensor:
    """Return, for every voxel, the sum of a volume, given by its ``rfftn``, times the template centred there."""
    # Axis by axis, so that the zeros around the template are not transformed.
    moved = torch.fft.rfft(template, n=shape[2], dim=2)
    moved = torch.fft.fft(torch.fft.fft(moved, n=shape[1], dim=1), n=shape[0], dim=0)
    found = torch.fft.irfftn(moved.conj() * spectrum, s=shape)
    return torch.roll(found, [n // 2 for n in template.shape], (0, 1, 2))


def default_mask_radius(density: Tensor, voxel_spacing: float) -> float:
    """Return the radius in Å that holds 95 % of a density, and 20 Å more for what transfer spreads."""
    z, y, x = centred_grid(density.shape, [voxel_spacing] * 3, density.device)
    radius, order = (z**2 + y**2 + x**2).sqrt().flatten().sort()
    held = density.clamp_min(0).flatten()[order].cumsum(0)
    return float(radius[int((held < 0.95 * held[-1]).sum())]) + 20.0


@torch.no_grad()
def match_template(
    volume: Tensor,
    density: Tensor,
    voxel_spacing: float,
    *,
    tilt_range_degree: float,
    defocus_um: float | None = None,
    num_rotations: int = 1850,
    match_spacing: float = 20.0,
    mask_radius: float | None = None,
    whiten: bool = True,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Score every voxel by its likeness to a density.

    Parameters
    ----------
    volume
        ``(z, y, x)``, protein bright.
    density
        ``(n, n, n)`` at the same voxel spacing, n odd, centred; protein 1, ice 0.
    voxel_spacing
        Å.
    tilt_range_degree
        Tilts went from minus to plus this angle about y.
    defocus_um
        Underfocus; None leaves contrast transfer out.
    num_rotations
        1850 are some 17° apart.
    match_spacing
        Å; coarser voxels cost detail, and buy rotations.
    mask_radius
        Å, of the ball in which volume and template are compared; None fits it to the density.
    whiten
        Divide both spectra by the volume's radial amplitude.
    device
        Where to compute.

    Returns
    -------
    Tensor
        ``(z, y, x)`` on the CPU: the highest correlation coefficient over rotations.
    """
    device = torch.device(device)
    volume, density = volume.to(device).float(), density.to(device).float()
    radius = default_mask_radius(density, voxel_spacing) if mask_radius is None else mask_radius
    # Room for half a template beyond the end, so that the two ends do not meet.
    fine = tuple(int(next_fast_len(n + math.ceil(radius / voxel_spacing), real=True)) for n in volume.shape)
    wanted = [int(next_fast_len(math.ceil(n * voxel_spacing / match_spacing), real=True)) for n in fine]
    coarse = tuple(min(n, m) for n, m in zip(fine, wanted, strict=True))
    spacing_zyx = [voxel_spacing * n / m for n, m in zip(fine, coarse, strict=True)]
    kept = [math.ceil(n * voxel_spacing / s) for n, s in zip(volume.shape, spacing_zyx, strict=True)]
    inside = torch.zeros(coarse, device=device)
    inside[: kept[0], : kept[1], : kept[2]] = 1

    padded = torch.zeros(fine, device=device)
    padded[tuple(slice(n) for n in volume.shape)] = (volume - volume.mean()) / volume.std()
    padded = resample(padded, coarse)
    frequency, tilt = frequencies(coarse, spacing_zyx, device)
    seen = tilt <= tilt_range_degree
    power = noise_power(padded, frequency, seen) if whiten else torch.ones(2, device=device)
    spectrum = torch.fft.rfftn(padded) * seen * whitening(power, frequency)
    white = torch.fft.irfftn(spectrum, s=coarse) * inside

    extent = max(radius, density.shape[0] / 2 * voxel_spacing) + SPREAD
    size = int(next_fast_len(2 * math.ceil(extent / min(spacing_zyx)), real=True))
    z, y, x = centred_grid((size,) * 3, spacing_zyx, device)
    mask = (z**2 + y**2 + x**2 <= radius**2).float()
    frequency, tilt = frequencies(mask.shape, spacing_zyx, device)
    weight = (tilt <= tilt_range_degree) * whitening(power, frequency)
    if defocus_um is not None:
        weight = -weight * contrast_transfer(frequency, defocus_um, MicroscopeConfig())

    count, total, squares = (correlate(torch.fft.rfftn(v), mask, coarse) for v in (inside, white, white**2))
    count = count.clamp_min(1)
    # Where there is next to nothing, nothing is alike.
    variance = (squares / count - (total / count) ** 2).clamp_min(0.01 * float(white.var()))

    # What the coarse voxels cannot hold would come back as false detail.
    margin = math.ceil(SPREAD / voxel_spacing)
    density = torch.nn.functional.pad(density, [margin] * 6)
    cut = min(density.shape[0], int(density.shape[0] * voxel_spacing / max(spacing_zyx)))
    density = resample(resample(density, (cut,) * 3), density.shape)
    spectrum = torch.fft.rfftn(white)
    best = torch.full_like(white, -torch.inf)
    rotations = uniform_rotations(num_rotations).to(device)
    for first in range(0, num_rotations, BATCH):
        batch = rotations[first : first + BATCH]
        for template in turned_templates(density, voxel_spacing, batch, spacing_zyx, weight, mask):
            torch.maximum(best, correlate(spectrum, template, coarse), out=best)
    scores = best / (variance * mask.sum()).sqrt()
    scores = scores if coarse == fine else resample(scores, fine)
    return scores[tuple(slice(n) for n in volume.shape)].cpu()
