"""Processing of reconstructions against what the steps are meant to do to signal, noise and places."""

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from tomoseek.errors import InputError
from tomoseek.geometry import points_to_indices
from tomoseek.simulate import MicroscopeConfig, SceneConfig, builtin_density, simulate_tomogram
from tomoseek.simulate.microscope import contrast_transfer
from tomoseek.simulate.processing import ProcessingConfig, do_steps, draw_steps
from tomoseek.simulate.processing_steps import (
    bin_and_resample,
    diffuse,
    filtered,
    lowpass_filter,
    quantise,
    radial_frequency,
    robust_deviation,
    sloped,
    wiener_filter,
)

ALL_ON: dict[str, Any] = {
    "binned_share": 1.0,
    "binned_from": [1.2, 2.5],
    "deconvolution_share": 1.0,
    "denoised_share": 1.0,
    "lowpass_share": 1.0,
    "lowpass_angstrom": [20.0, 50.0],
    "contrast_slope": [-0.3, 0.3],
    "quantised_share": 1.0,
}
MICROSCOPE = MicroscopeConfig()


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def process(
    halves: tuple[torch.Tensor, torch.Tensor], defocus_um: float, config: ProcessingConfig, draws: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
    steps = draw_steps(config, draws)
    first, second = do_steps(halves, steps, 10.0, defocus_um, MICROSCOPE)
    return first, second, steps


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed))


def distances(shape: tuple[int, int, int], centre: tuple[float, float, float]) -> torch.Tensor:
    """Voxels from a point."""
    axes = [torch.arange(n) - at for n, at in zip(shape, centre, strict=True)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return (z**2 + y**2 + x**2).sqrt()


def centre_of_mass(volume: torch.Tensor) -> list[float]:
    """Of the darkest blob, above a quarter of its depth."""
    weight = -volume
    weight = torch.where(weight > 0.25 * weight.max(), weight, 0)
    axes = torch.meshgrid(*(torch.arange(float(n)) for n in volume.shape), indexing="ij")
    return [float((axis * weight).sum() / weight.sum()) for axis in axes]


def correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])


def test_steps_that_are_off_change_nothing_and_draw_nothing() -> None:
    draws = generator(3)
    before = draws.get_state()
    even, odd = noise(16, 20, 24), noise(16, 20, 24, seed=1)
    first, second, steps = process((even, odd), 3.0, ProcessingConfig(), draws)
    assert torch.equal(first, even) and torch.equal(second, odd) and steps == {}
    assert torch.equal(draws.get_state(), before)


def test_the_same_generator_gives_the_same_steps_to_both_halves() -> None:
    even = noise(24, 32, 40)
    kept = even.clone()
    first, second, steps = process((even, even), 3.0, ProcessingConfig(**ALL_ON), generator(1))
    again, _, same = process((even, even), 3.0, ProcessingConfig(**ALL_ON), generator(1))
    _, _, other = process((even, even), 3.0, ProcessingConfig(**ALL_ON), generator(2))
    assert torch.equal(first, second) and torch.equal(first, again) and torch.equal(even, kept)
    assert json.loads(json.dumps(steps)) == same != other
    assert 1.2 <= steps["binned_from"] <= 2.5 and 20 <= steps["lowpass_angstrom"] <= 50


def test_a_share_is_the_part_of_runs_that_go_through_a_step() -> None:
    config = ProcessingConfig(quantised_share=0.3)
    small = (torch.zeros(2, 2, 2), torch.zeros(2, 2, 2))
    draws = generator(0)
    took = [bool(process(small, 3.0, config, draws)[2]) for _ in range(400)]
    assert 0.23 < np.mean(took) < 0.37


@pytest.mark.parametrize("averaged", [True, False])
@pytest.mark.parametrize("factor", [1.6, 2.0, 3.2])
def test_frequencies_above_the_binned_nyquist_are_gone(factor: float, averaged: bool) -> None:
    volume = noise(64, 64, 64)
    result = bin_and_resample(volume, factor, averaged)
    assert result.shape == volume.shape
    for axis in range(3):
        left = torch.fft.rfft(result, dim=axis).abs().square().movedim(axis, 0).mean((1, 2))
        frequency = torch.fft.rfftfreq(64)
        kept, lost = frequency < 0.5 * 0.5 / factor, frequency > 1.4 * 0.5 / factor
        assert float(left[lost].mean()) < 0.01 * float(left[kept].mean())


def test_binning_by_three_averages_three_voxels_along_every_axis() -> None:
    volume = noise(30, 33, 36)
    result = bin_and_resample(volume, 3.0, averaged=True)
    for z, y, x in [(3, 6, 9), (15, 15, 15), (27, 30, 33)]:
        block = volume[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2]
        assert float(result[z, y, x]) == pytest.approx(float(block.mean()), abs=1e-5)


def test_averages_fold_fine_detail_back_and_resampling_does_not() -> None:
    wave = torch.cos(2 * math.pi * 0.29 * torch.arange(100.0)).expand(16, 16, 100).contiguous()
    folded, clean = (bin_and_resample(wave, 2.4, averaged) for averaged in (True, False))  # Nyquist is now 0.21
    spectrum = torch.fft.rfft(folded[8, 8]).abs()
    assert int(spectrum.argmax()) == round(100 * (1 / 2.4 - 0.29))
    assert float(folded.std()) > 0.25 * float(wave.std())
    inside = slice(15, 85)  # a wave cut off at the end holds other frequencies
    assert float(clean[..., inside].std()) < 0.2 * float(folded[..., inside].std())


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"binned_share": 1.0, "binned_from": [factor, factor], "averaged_share": 1.0}
            for factor in (1.3, 2.0, 2.7, 3.2)
        ),
        *(
            {"binned_share": 1.0, "binned_from": [factor, factor], "averaged_share": 0.0}
            for factor in (1.3, 2.0, 2.7, 3.2)
        ),
        {"deconvolution_share": 1.0},
        {"denoised_share": 1.0},
        {"lowpass_share": 1.0},
        {"quantised_share": 1.0, "quantised_range": [50.0, 50.0]},
        {**ALL_ON, "contrast_slope": [0.0, 0.0], "quantised_range": [50.0, 50.0]},
    ],
)
def test_places_stay_where_they_are_and_dark(changes: dict[str, Any]) -> None:
    centre = (31.3, 35.8, 28.6)
    blob = -torch.exp(-(distances((64, 72, 64), centre) ** 2) / (2 * 4.5**2))
    blob += 0.02 * noise(*blob.shape)
    result, _, steps = process((blob, blob), 3.0, ProcessingConfig(**changes), generator(0))
    assert steps and not torch.equal(result, blob)
    assert centre_of_mass(result) == pytest.approx(centre, abs=0.1)


def test_deconvolution_flattens_the_transfer_and_brings_back_the_density() -> None:
    density = builtin_density("ribosome", 10.0)
    truth = torch.zeros(64, 64, 64)
    low = (64 - len(density)) // 2
    truth[low : low + len(density), low : low + len(density), low : low + len(density)] = density
    frequency = radial_frequency(truth, 10.0)
    clean = filtered(truth, contrast_transfer(frequency, 3.0, MICROSCOPE))
    imaged = clean + 0.3 * clean.std() * noise(64, 64, 64)
    restored = filtered(imaged, wiener_filter(frequency, 10.0, 3.0, 1.0, 1.0, MICROSCOPE))

    shells = ((frequency > low) & (frequency < low + 1 / 800) for low in (1 / 400, 1 / 250, 1 / 150, 1 / 100))
    spectra = [torch.fft.rfftn(volume).abs() for volume in (truth, imaged, restored)]
    ratios = [[float(spectrum[shell].mean() / spectra[0][shell].mean()) for spectrum in spectra] for shell in shells]
    before, after = ([row[column] for row in ratios] for column in (1, 2))
    assert max(before) / min(before) > 2.5  # falls towards low frequency
    assert max(after) / min(after) < 1.5
    assert correlation(restored, -truth) > correlation(imaged, -truth) + 0.1


def test_the_wiener_filter_inverts_where_signal_is_expected_and_stops_where_none_is() -> None:
    frequency = torch.tensor([0.0, 1 / 300, 1 / 200, 1 / 20])
    gain = wiener_filter(frequency, 10.0, 3.0, 2.0, 0.5, MICROSCOPE)
    transfer = -contrast_transfer(frequency, 3.0, MICROSCOPE) / 2
    assert float(gain[0]) == 0.0
    assert (gain * transfer)[1:3].tolist() == pytest.approx([1.0, 1.0], abs=0.01)
    weak = wiener_filter(frequency, 10.0, 3.0, 0.5, 1.5, MICROSCOPE)
    assert abs(float(weak[3])) < 1e-4


def test_diffusion_quietens_noise_and_keeps_the_edge_of_a_sphere() -> None:
    radius = distances((64, 64, 64), (32, 32, 32))
    clean = -4.0 * (radius < 20)
    noisy = clean + noise(64, 64, 64)
    result = diffuse(noisy, 5, 0.3)
    linear = diffuse(noisy, 5, 1e6)  # no edge is steep enough: plain blurring

    def edge(volume: torch.Tensor) -> float:
        """Height of the step over two voxels."""
        return float(volume[(radius > 20) & (radius < 21)].mean() - volume[(radius < 20) & (radius > 19)].mean())

    assert float(noisy[radius > 25].std()) > 0.9
    assert float(result[radius > 25].std()) < 0.4
    assert edge(result) > 0.8 * edge(noisy)
    assert edge(result) > 1.5 * edge(linear)


def test_diffusion_goes_half_as_fast_where_the_slope_is_that_of_an_edge() -> None:
    ramp = torch.arange(40.0).expand(20, 24, 40)  # rises by 1 per voxel along x
    ripple = 0.01 * (1 - 2 * (torch.arange(24) % 2))[:, None]  # plus, minus, plus along y: blurring takes it out
    volume = ramp + ripple
    inside = (slice(4, -4), slice(4, -4), slice(4, -4))
    for slope_over_edge, speed in [(1.0, 1 / 2), (2.0, 1 / 5), (1e-4, 1.0)]:
        edge = 1 / slope_over_edge / robust_deviation(volume)
        left = (diffuse(volume, 1, edge) - ramp) / ripple
        # Both neighbours along y differ by two ripples; a seventh of the difference flows.
        assert left[inside].numpy() == pytest.approx(1 - speed * 4 / 7, abs=0.005)


def test_diffusion_keeps_the_mean() -> None:
    volume = noise(20, 24, 28) + 3
    assert float(diffuse(volume, 3, 0.5).mean()) == pytest.approx(float(volume.mean()), abs=1e-4)


@pytest.mark.parametrize("cutoff", [25.0, 40.0, 60.0])
def test_the_low_pass_halves_a_wave_at_its_cut_off(cutoff: float) -> None:
    length = 120  # voxels of 10 Å: a whole number of each wave
    for wavelength, left in [(cutoff, 0.5), (2 * cutoff, 1.0), (cutoff / 1.8, 0.0)]:
        if wavelength < 20:
            continue
        cycles = round(length * 10 / wavelength)
        along = torch.cos(2 * math.pi * cycles / length * torch.arange(length))
        wave = along.expand(16, 20, length).contiguous()
        gain = lowpass_filter(radial_frequency(wave, 10.0), cutoff)
        assert float(filtered(wave, gain).std() / wave.std()) == pytest.approx(left, abs=0.02)


def test_contrast_and_background_change_linearly_through_z() -> None:
    volume = noise(33, 64, 64)
    result = sloped(volume, 0.2, -0.5)
    deviation = robust_deviation(volume)
    assert torch.equal(result[16], volume[16])
    for plane, height in [(0, -1.0), (8, -0.5), (24, 0.5), (32, 1.0)]:
        expected = volume[plane] * (1 + 0.2 * height) - 0.5 * deviation * height
        assert torch.allclose(result[plane], expected, atol=1e-5)


def test_eight_bits_hold_256_levels_evenly_spaced_over_the_stated_range() -> None:
    volume = 2 * noise(48, 64, 64) + 5
    result = quantise(volume, 3.0)
    levels = torch.unique(result)
    assert 200 < len(levels) <= 256
    assert float(levels[0]) == pytest.approx(5 - 6, abs=0.1) and float(levels[-1]) == pytest.approx(5 + 6, abs=0.1)
    steps = [float(high - low) for low, high in itertools.pairwise(levels)]
    assert max(steps) == pytest.approx(12 / 255, rel=0.05) and min(steps) == pytest.approx(12 / 255, rel=0.05)
    inside = (volume - 5).abs() < 5.8
    assert float((result - volume)[inside].abs().max()) <= 6.1 / 255


def test_the_spread_of_noise_is_measured_past_strong_particles() -> None:
    volume = 3 * noise(48, 64, 64) + 1
    volume[:, :6] = -500
    assert robust_deviation(volume) == pytest.approx(3, rel=0.15)
    assert float(volume.std()) > 100


def test_particles_are_dark_after_every_step() -> None:
    scene = SceneConfig(shape=[48, 128, 128], vesicles=[0, 0], gold_beads=[0, 0])
    densities = {"ribosome": builtin_density("ribosome", 10.0)}
    tomogram = simulate_tomogram(densities, {"ribosome": 8}, scene, MICROSCOPE, seed=2)
    halves = (tomogram.even, tomogram.odd)
    defocus = tomogram.metadata["defocus_um"]
    places = points_to_indices(tomogram.points["ribosome"], 10.0).round().astype(int)
    assert len(places) > 3
    for seed in range(3):
        first, second, _ = process(halves, defocus, ProcessingConfig(**ALL_ON), generator(seed))
        for half in (first, second):
            middles = [float(half[z - 3 : z + 4, y - 3 : y + 4, x - 3 : x + 4].mean()) for z, y, x in places]
            assert np.mean(middles) < float(half.median()) - robust_deviation(half)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("binned_from", [0.5, 2.0]), ("binned_from", [3.0, 2.0]), ("binned_from", [2.0]),
        ("averaged_share", 2.0),
        ("denoised_iterations", [0, 3]), ("denoised_edge", [0.0, 1.0]), ("lowpass_angstrom", [70.0, 20.0]),
        ("deconvolution_strength", [-1.0, 1.0]), ("deconvolution_falloff", [1.0]), ("quantised_range", [0.0, 4.0]),
        ("contrast_slope", [-1.0, 0.5]), ("contrast_slope", [0.5, -0.5]),
        ("quantised_share", 1.5), ("deconvolution_share", -0.1),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused_by_name(setting: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"processing\.{setting}: expected .*, found"):
        ProcessingConfig(**{setting: value})
