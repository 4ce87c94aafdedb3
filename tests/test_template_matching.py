"""Template matching: what is planted is found, and what is assumed of wedge, rotations and scores holds."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.controls.template_matching import (
    correlate,
    frequencies,
    match_template,
    resample,
    turned_templates,
    uniform_rotations,
)
from tomoseek.geometry import FloatArray, points_to_indices
from tomoseek.picks.peaks import find_peaks
from tomoseek.simulate import random_assembly
from tomoseek.simulate.placing import add_particles
from tomoseek.simulate.symmetry import random_rotations

SPACING = 10.0
WEDGE = 50.0
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def density() -> Tensor:
    return random_assembly(5, SPACING, (800.0, 1200.0), ("C1",))


def planted(density: Tensor, rotations: Tensor) -> tuple[Tensor, FloatArray]:
    """Two turned particles in noise, with a missing wedge; and where they are, z y x."""
    points_xyz = torch.tensor([[203.0, 318.0, 191.0], [454.0, 262.0, 207.0]])
    volume = 0.5 * torch.randn(40, 56, 64, generator=torch.Generator().manual_seed(0))
    add_particles(volume, density, points_xyz, rotations, SPACING)
    tilt = frequencies(volume.shape, [SPACING] * 3, CPU)[1]
    volume = torch.fft.irfftn(torch.fft.rfftn(volume) * (tilt <= WEDGE), s=volume.shape)
    return volume, points_to_indices(points_xyz, SPACING)


def best_two(scores: Tensor) -> FloatArray:
    peaks = find_peaks(scores.numpy(), radius_cells=8, threshold=0.0)[0][:2]
    return peaks[np.argsort(peaks[:, 2])]


@pytest.mark.parametrize("match_spacing", [10.0, 14.0, 20.0])
def test_particles_turned_as_a_template_are_found_within_a_voxel(density: Tensor, match_spacing: float) -> None:
    volume, truth = planted(density, uniform_rotations(20)[[3, 11]])
    scores = match_template(
        volume, density, SPACING, tilt_range_degree=WEDGE, num_rotations=20, match_spacing=match_spacing
    )
    assert scores.shape == volume.shape
    assert np.abs(best_two(scores) - truth).max() < 1


def test_particles_turned_at_random_are_found_within_a_voxel(density: Tensor) -> None:
    volume, truth = planted(density, random_rotations(2, torch.Generator().manual_seed(0)))
    scores = match_template(volume, density, SPACING, tilt_range_degree=WEDGE)
    assert np.abs(best_two(scores) - truth).max() < 1


@pytest.mark.parametrize("whiten", [True, False])
def test_scores_do_not_depend_on_gain_and_offset(density: Tensor, whiten: bool) -> None:
    volume = planted(density, uniform_rotations(2))[0]
    scores, again = (
        match_template(v, density, SPACING, tilt_range_degree=WEDGE, defocus_um=3.0, num_rotations=8, whiten=whiten)
        for v in (volume, 70 * volume - 300)
    )
    torch.testing.assert_close(scores, again, atol=2e-3, rtol=0)
    assert float(scores.abs().max()) < 1.05  # a correlation coefficient, interpolated


def test_template_is_empty_in_the_missing_wedge_and_full_beside_it(density: Tensor) -> None:
    shape, spacing_zyx = (40, 40, 40), [SPACING] * 3
    tilt = frequencies(shape, spacing_zyx, CPU)[1]
    weight = (tilt <= WEDGE).float()
    everywhere = torch.ones(shape)
    template = turned_templates(density, SPACING, uniform_rotations(3), spacing_zyx, weight, everywhere)[1]
    power = torch.fft.rfftn(template).abs().square()
    assert float(power[tilt > WEDGE].sum()) < 1e-8 * float(power.sum())
    # The beam is z and the tilt axis y: frequencies along z are missing, along x and y they are not.
    assert float(power[1:5, 0, 0].sum()) < 1e-8 * float(power.sum()) < float(power[0, 1:5, 0].sum())
    assert float(power[0, 0, 1:5].sum()) > 1e-3 * float(power.sum())


def test_rotations_are_spread_evenly() -> None:
    rotations = uniform_rotations(550).double()
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).double().expand(550, 3, 3), atol=1e-5, rtol=0)
    assert float(rotations.mean(0).abs().max()) < 0.01
    cosine = (torch.einsum("aij,bij->ab", rotations, rotations) - 1) / 2
    angle = torch.arccos(cosine.fill_diagonal_(-1).clamp(-1, 1)).amin(1)
    # 550 balls that fill the 8 pi**2 of all rotations without a gap; one of radius a takes 4/3 pi a**3.
    ideal = 2 * (8 * math.pi**2 / 550 / (4 / 3 * math.pi)) ** (1 / 3)
    assert 0.5 * ideal < float(angle.min()) <= float(angle.max()) < 1.2 * ideal


def test_correlation_agrees_with_its_definition() -> None:
    generator = torch.Generator().manual_seed(1)
    volume, template = torch.randn(12, 15, 16, generator=generator), torch.randn(6, 6, 6, generator=generator)
    found = correlate(torch.fft.rfftn(volume), template, volume.shape)
    expected = (volume[2:8, 4:10, 5:11] * template).sum()
    torch.testing.assert_close(found[5, 7, 8], expected, atol=1e-4, rtol=1e-4)


def test_resampling_keeps_a_smooth_volume() -> None:
    z, y, x = torch.meshgrid(*(torch.arange(n) / n * 2 * math.pi for n in (24, 30, 36)), indexing="ij")
    smooth = torch.sin(z) + torch.cos(2 * y + x)
    coarse = resample(smooth, (12, 16, 18))
    torch.testing.assert_close(coarse[:, :, 0][:, 0], smooth[::2, 0, 0])
    torch.testing.assert_close(resample(coarse, smooth.shape), smooth, atol=1e-5, rtol=0)
