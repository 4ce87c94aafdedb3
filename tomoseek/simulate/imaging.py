"""From projections to noise-free images: transfer, tilts out of line, focus that changes across a tilted specimen.

Shapes: t tilts, y x image.
"""

import math

import torch
from torch import Tensor

from tomoseek.simulate.microscope import MicroscopeConfig, image_spectrum


def form_images(
    series: Tensor,
    tilts_degree: tuple[float, ...],
    voxel_spacing: float,
    defocus_um: Tensor,
    dose_before: Tensor,
    shifts_angstrom: Tensor | None,
    microscope: MicroscopeConfig,
) -> Tensor:
    """Image a tilt series.

    Parameters
    ----------
    series
        ``(t, y, x)``: density summed over voxels along the beam.
    tilts_degree
        About y.
    voxel_spacing
        Å.
    defocus_um, dose_before
        ``(t,)``, in the middle of the field.
    shifts_angstrom
        ``(t, 2)`` along y and x by which images are out of line; None: not at all.
    microscope
        Optics. With ``defocus_gradient`` focus follows the height of a slab that is turned with the tilt:
        ``-x tan(tilt)`` at x from the axis in the image; images at the two edges' and the middle's focus are blended
        linearly between.

    Returns
    -------
    Tensor
        ``(t, y, x)``: relative change of intensity.
    """

    def images(change_um: Tensor) -> Tensor:
        spectrum = image_spectrum(series, voxel_spacing, defocus_um + change_um, dose_before, microscope)
        if shifts_angstrom is not None:
            ky = torch.fft.fftfreq(series.shape[1], voxel_spacing, device=series.device)[:, None]
            kx = torch.fft.rfftfreq(series.shape[2], voxel_spacing, device=series.device)
            for image, (y, x) in zip(spectrum, shifts_angstrom.tolist(), strict=True):
                image *= torch.polar(torch.ones_like(ky * kx), -2 * math.pi * (ky * y + kx * x))
        return torch.stack([torch.fft.irfft2(image, s=series.shape[1:]) for image in spectrum])

    nothing = torch.zeros(len(tilts_degree))
    middle = images(nothing)
    if not microscope.defocus_gradient:
        return middle
    half_width = series.shape[2] / 2 * voxel_spacing * 1e-4  # µm
    right = -half_width * torch.tan(torch.deg2rad(torch.tensor(tilts_degree)))
    across = torch.linspace(-1, 1, series.shape[2], device=series.device)
    middle *= 1 - across.abs()
    middle += across.clamp_min(0) * images(right)
    middle += (-across).clamp_min(0) * images(-right)
    return middle
