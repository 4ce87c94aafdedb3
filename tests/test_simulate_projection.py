"""Projection and back-projection against geometry."""

import math

import pytest
import torch

from tomoseek.simulate.projection import back_project, detector_positions, project, ramp_filter, tilt_geometry

CPU = torch.device("cpu")
TILTS = tuple(3.0 * index for index in range(-20, 21))


def reconstruct(volume: torch.Tensor, tilts: tuple[float, ...]) -> torch.Tensor:
    geometry = tilt_geometry(tilts, (volume.shape[0], volume.shape[2]), CPU)
    return back_project(ramp_filter(project(volume, geometry), tilts, 0.45, 0.05), geometry)


def blob(shape: tuple[int, int, int], centre: tuple[float, float, float], sigma: float) -> torch.Tensor:
    grids = torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in shape], indexing="ij")
    square = sum((grid - middle) ** 2 for grid, middle in zip(grids, centre, strict=True))
    return torch.exp(-square / (2 * sigma**2))


def centroid(volume: torch.Tensor) -> list[float]:
    grids = torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in volume.shape], indexing="ij")
    return [float((grid * volume).sum() / volume.sum()) for grid in grids]


def test_a_voxel_projects_to_x_cos_plus_z_sin() -> None:
    volume = torch.zeros(20, 6, 40)
    volume[16, 2, 31] = 1.0
    geometry = tilt_geometry((-60.0, 0.0, 30.0), (20, 40), CPU)
    series = project(volume, geometry)
    z, x, middle = 16 - 9.5, 31 - 19.5, (geometry.num_detector - 1) / 2
    for image, tilt in zip(series, geometry.tilts_degree, strict=True):
        angle = math.radians(tilt)
        row, column = centroid(image)
        assert row == pytest.approx(2, abs=1e-4)
        assert column == pytest.approx(middle + x * math.cos(angle) + z * math.sin(angle), abs=1e-4)


def test_detector_positions_are_where_project_puts_voxels() -> None:
    generator = torch.Generator().manual_seed(0)
    geometry = tilt_geometry(TILTS, (16, 32), CPU)
    index = torch.tensor([16, 4, 32]) * torch.rand(5, 3, generator=generator)
    index = index.floor()
    expected = detector_positions(index.double(), geometry)
    for voxel, positions in zip(index.long().tolist(), expected.T, strict=True):
        volume = torch.zeros(16, 4, 32)
        volume[tuple(voxel)] = 1.0
        found = torch.tensor([centroid(image)[1] for image in project(volume, geometry)])
        assert torch.allclose(found.double(), positions, atol=1e-3)


def test_every_projection_keeps_the_total_density() -> None:
    volume = torch.rand(16, 5, 24, generator=torch.Generator().manual_seed(1))
    series = project(volume, tilt_geometry(TILTS, (16, 24), CPU))
    assert torch.allclose(series.sum((1, 2)), volume.sum().expand(len(TILTS)), rtol=1e-4)


def test_back_projection_is_the_transpose_of_projection() -> None:
    generator = torch.Generator().manual_seed(2)
    geometry = tilt_geometry(TILTS, (12, 20), CPU)
    volume = torch.rand(12, 130, 20, generator=generator)
    series = torch.rand(len(TILTS), 130, geometry.num_detector, generator=generator)
    forward = float((project(volume, geometry) * series).sum())
    assert forward == pytest.approx(float((volume * back_project(series, geometry)).sum()), rel=1e-4)


def test_without_a_missing_wedge_reconstruction_returns_the_density() -> None:
    tilts = tuple(2.0 * index for index in range(-45, 45))
    volume = blob((48, 5, 48), (20.0, 2.0, 30.0), 4.0)
    found = reconstruct(volume, tilts)
    assert float((found - volume).abs().max()) < 0.05


def test_a_point_comes_back_to_its_place_from_a_limited_tilt_range() -> None:
    volume = blob((48, 32, 64), (14.3, 11.0, 40.7), 2.0)
    found = reconstruct(volume, TILTS)
    strong = torch.where(found > 0.5 * found.max(), found, 0.0)
    assert centroid(strong) == pytest.approx([14.3, 11.0, 40.7], abs=0.15)


def test_the_missing_wedge_is_nearly_empty() -> None:
    volume = torch.randn(64, 16, 64, generator=torch.Generator().manual_seed(3))
    found = reconstruct(volume, TILTS)
    window = torch.hann_window(64, periodic=False)
    power = torch.fft.fftn(found * window[:, None, None] * window).abs() ** 2
    frequency = torch.fft.fftfreq(64)
    kz, kx = frequency[:, None, None], frequency[None, None, :]
    radius = torch.hypot(kz, kx).expand(power.shape)
    angle = torch.rad2deg(torch.atan2(kz.abs(), kx.abs())).expand(power.shape)
    # Between the frequencies that the window smears and those that interpolation damps.
    band = (radius > 0.1) & (radius < 0.35)
    inside = power[band & (angle > 65)].mean()
    outside = power[band & (angle < 55)].mean()
    assert float(inside / outside) < 0.01


def test_tilts_spaced_unevenly_are_weighted_by_the_angle_they_stand_for() -> None:
    tilts = tuple(sorted({*(2.0 * index for index in range(-45, 45)), *range(1, 40, 2)}))
    volume = blob((48, 3, 48), (23.5, 1.0, 23.5), 4.0)
    assert float((reconstruct(volume, tilts) - volume).abs().max()) < 0.05


def test_a_sirt_like_filter_passes_what_iterations_pass_and_more_of_it_with_more_of_them() -> None:
    series = torch.randn(1, 64, 200, generator=torch.Generator().manual_seed(0))
    plain, few, many = (ramp_filter(series, (0.0,), 0.5, 0.05, iterations) for iterations in (None, 10, 10_000))

    def passed(filtered: torch.Tensor, cycles: float) -> float:
        line = torch.cos(2 * math.pi * cycles * torch.arange(200))
        return float(((filtered[0] * line).sum(1).square().sum() / (plain[0] * line).sum(1).square().sum()).sqrt())

    for cycles in (0.05, 0.1, 0.3):
        # 10 iterations pass 1 - (1 - a / f)^10, a being one cycle along the detector.
        assert passed(few, cycles) == pytest.approx(1 - (1 - 1 / (200 * cycles)) ** 10, rel=0.15)
        assert passed(many, cycles) == pytest.approx(1.0, abs=0.02)
