"""Contrast transfer, dose and noise against physics."""

import itertools
import math

import pytest
import torch

from tomoseek.errors import InputError
from tomoseek.simulate.microscope import (
    MicroscopeConfig,
    contrast_transfer,
    count_electrons,
    dose_damping,
    electrons_per_pixel,
    exposure_order,
    image_spectrum,
    phase_per_volt_angstrom,
    tilt_angles,
    wavelength_angstrom,
)


def test_wavelength_and_interaction_constant_match_the_tables() -> None:
    assert wavelength_angstrom(300) == pytest.approx(0.019687, rel=1e-3)
    assert wavelength_angstrom(200) == pytest.approx(0.025079, rel=1e-3)
    assert phase_per_volt_angstrom(300) == pytest.approx(6.526e-4, rel=2e-3)
    assert phase_per_volt_angstrom(200) == pytest.approx(7.288e-4, rel=2e-3)


def test_zeros_of_the_power_spectrum_lie_where_optics_puts_them() -> None:
    microscope = MicroscopeConfig(b_factor=0.0, dose_damping=False)
    spacing, size, defocus_um = 4.0, 256, 3.0
    series = torch.randn(1, size, size, generator=torch.Generator().manual_seed(0))
    spectrum = image_spectrum(series, spacing, torch.tensor([defocus_um]), torch.zeros(1), microscope)
    frequency = torch.hypot(torch.fft.fftfreq(size, spacing)[:, None], torch.fft.rfftfreq(size, spacing))
    step = 1 / (size * spacing)
    bins = (frequency / step).round().long().flatten()
    power = torch.bincount(bins, spectrum.abs().square().flatten()) / torch.bincount(bins)

    # Zeros from first principles: L f k² - Cs L³ k⁴ / 2 = n - asin(A) / pi, the smaller root in k².
    wavelength = 12.2643 / math.sqrt(3e5 + 0.978466e-6 * 9e10)
    a, b = 2.7e7 * wavelength**3 / 2, wavelength * defocus_um * 1e4
    zeros = []
    for order in range(1, 5):
        target = order - math.asin(0.07) / math.pi
        zeros.append(math.sqrt((b - math.sqrt(b * b - 4 * a * target)) / (2 * a)))
    for first, second in itertools.pairwise(zeros):
        between = round((first + second) / 2 / step)
        around = power[round(first / step) - 4 : round(first / step) + 5]
        assert abs(int(around.argmin()) - 4) <= 1
        assert float(around.min()) < 0.05 * float(power[between])


def test_protein_is_dark_in_underfocus() -> None:
    steps = torch.arange(64.0) - 32
    series = 5 * torch.exp(-(steps[:, None] ** 2 + steps**2) / (2 * 3.0**2))
    spectrum = image_spectrum(series[None], 10.0, torch.tensor([3.0]), torch.zeros(1), MicroscopeConfig())
    image = torch.fft.irfft2(spectrum[0], s=(64, 64))
    assert float(image[31:34, 31:34].mean()) < -0.02


def test_transfer_at_low_frequency_is_the_amplitude_contrast() -> None:
    found = contrast_transfer(torch.tensor([0.0]), 3.0, MicroscopeConfig(amplitude_contrast=0.1))
    assert float(found) == pytest.approx(-0.2, rel=1e-5)


def test_exposures_go_outwards_from_zero_taking_sides_in_turn() -> None:
    tilts = tilt_angles(MicroscopeConfig(tilt_range_degree=9, tilt_step_degree=3))
    assert tilts == (-9, -6, -3, 0, 3, 6, 9)
    order = exposure_order(tilts)
    assert [tilts[int(index)] for index in torch.argsort(order)] == [0, 3, -3, 6, -6, 9, -9]


def test_fine_detail_fades_first_with_dose() -> None:
    left = dose_damping(torch.tensor([1 / 100, 1 / 20]), torch.tensor(100.0))
    critical = 0.245 * (1 / 20) ** -1.665 + 2.81
    assert float(left[1]) == pytest.approx(math.exp(-50 / critical), rel=1e-5)
    assert float(left[0]) > 0.9 > float(left[1])


def test_electrons_are_the_dose_less_what_tilted_ice_takes() -> None:
    microscope = MicroscopeConfig(inelastic_mean_free_path=3000.0)
    electrons = electrons_per_pixel((-60.0, 0.0, 60.0), 90.0, 10.0, 1500.0, microscope)
    assert electrons.tolist() == pytest.approx(
        [3000 * math.exp(-1.0), 3000 * math.exp(-0.5), 3000 * math.exp(-1.0)], rel=1e-5
    )


def test_shot_noise_has_the_variance_of_counting() -> None:
    generator = torch.Generator().manual_seed(0)
    contrast = torch.full((2, 200, 200), -0.2)
    recorded = count_electrons(contrast, torch.tensor([4.0, 50.0]), generator)
    for image, electrons in zip(recorded, (4.0, 50.0), strict=True):
        assert float(image.mean()) == pytest.approx(-0.2, abs=0.01)
        assert float(image.var()) == pytest.approx(0.8 / electrons, rel=0.05)


@pytest.mark.parametrize("setting", [{"defocus_um": [3, 2]}, {"snr": [0, 1]}, {"tilt_range_degree": 95}])
def test_impossible_settings_are_refused(setting: dict[str, object]) -> None:
    with pytest.raises(InputError, match="microscope"):
        MicroscopeConfig(**setting)  # type: ignore[arg-type]
