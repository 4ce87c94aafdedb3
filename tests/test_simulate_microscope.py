"""Contrast transfer, dose and noise against physics."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from tomoseek.errors import InputError
from tomoseek.simulate.imaging import form_images
from tomoseek.simulate.microscope import (
    MicroscopeConfig,
    contrast_transfer,
    count_electrons,
    dose_damping,
    draw_tilts,
    electrons_per_pixel,
    exposure_order,
    image_spectrum,
    phase_per_volt_angstrom,
    tilt_angles,
    wavelength_angstrom,
    with_phase_plate,
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
    tilts = tilt_angles(9, 3)
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


def test_a_phase_plate_gives_contrast_where_there_was_little() -> None:
    plain = MicroscopeConfig()
    plate = MicroscopeConfig(phase_plate_share=1.0, phase_shift_degree=[80.0, 80.0])
    shifted = with_phase_plate(plate, torch.Generator().manual_seed(0))
    low = torch.tensor([1 / 400])
    shift = math.asin(0.07) + math.radians(80)
    assert float(contrast_transfer(torch.tensor([0.0]), 3.0, shifted)) == pytest.approx(-2 * math.sin(shift), rel=1e-5)
    assert float(contrast_transfer(low, 3.0, shifted) / contrast_transfer(low, 3.0, plain)) > 8
    draws = torch.Generator().manual_seed(0)
    before = draws.get_state()
    assert with_phase_plate(plain, draws) is plain and torch.equal(draws.get_state(), before)


def test_missing_tilts_are_left_out_and_the_first_exposure_never_is() -> None:
    wide = MicroscopeConfig(tilt_range_degree=[40, 70], tilt_step_degree=[2, 4], missing_tilts=[0.3, 0.3])
    drawn = [draw_tilts(wide, torch.Generator().manual_seed(seed)) for seed in range(60)]
    assert all(0.0 in tilts for tilts in drawn)
    assert min(max(tilts) for tilts in drawn) < 40 and 60 < max(max(tilts) for tilts in drawn) <= 70
    whole = [draw_tilts(replace(wide, missing_tilts=[0, 0]), torch.Generator().manual_seed(s)) for s in range(60)]
    assert sum(map(len, drawn)) / sum(map(len, whole)) == pytest.approx(0.71, abs=0.03)


def test_tilts_that_leave_no_choice_draw_nothing() -> None:
    draws = torch.Generator().manual_seed(0)
    before = draws.get_state()
    assert draw_tilts(MicroscopeConfig(), draws) == tilt_angles(60, 3)
    assert torch.equal(draws.get_state(), before)


def test_a_tilt_out_of_line_shows_its_image_that_much_aside() -> None:
    steps = torch.arange(64.0) - 32
    series = torch.exp(-(steps[:, None] ** 2 + steps**2) / (2 * 3.0**2))[None].repeat(2, 1, 1)
    still, moved = form_images(
        series, (0.0, 0.0), 10.0, torch.full((2,), 3.0), torch.zeros(2), torch.tensor([[0.0, 0.0], [20.0, -30.0]]),
        MicroscopeConfig(),
    )  # fmt: skip
    assert torch.allclose(moved, still.roll((2, -3), (0, 1)), atol=1e-4 * float(still.abs().max()))


def test_focus_changes_across_a_tilted_slab_only() -> None:
    series = torch.randn(2, 32, 256, generator=torch.Generator().manual_seed(0))
    plain = MicroscopeConfig()
    sloped = replace(plain, defocus_gradient=True)

    def images(defocus: float, microscope: MicroscopeConfig) -> torch.Tensor:
        return form_images(series, (0.0, 60.0), 10.0, torch.full((2,), defocus), torch.zeros(2), None, microscope)

    flat, tilted = images(3.0, sloped)
    assert torch.allclose(flat, images(3.0, plain)[0], atol=1e-5)
    change = 128 * 10.0 * 1e-4 * math.tan(math.radians(60))  # µm at the edge
    # At x to the right of the axis the slab lies lower by x tan(60°).
    assert torch.allclose(tilted[:, -1], images(3.0 - change, plain)[1][:, -1], atol=1e-5)
    assert torch.allclose(tilted[:, 0], images(3.0 + change, plain)[1][:, 0], atol=1e-5)


@pytest.mark.parametrize(
    "setting",
    [
        {"defocus_um": [3, 2]},
        {"snr": [0, 1]},
        {"tilt_range_degree": [60, 95]},
        {"missing_tilts": [0, 1]},
        {"misalignment_angstrom": [-1, 0]},
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, object]) -> None:
    with pytest.raises(InputError, match="microscope"):
        MicroscopeConfig(**setting)  # type: ignore[arg-type]
