"""What was never measured counts as background, and moves neither contrast nor search."""

import warnings

import numpy as np
import pytest

from tomoseek import Tomogram
from tomoseek.errors import InputError
from tomoseek.messages import Notice


def measured_volume(shape: tuple[int, int, int] = (48, 96, 96), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)


def turned_corners(shape: tuple[int, int, int]) -> np.ndarray:
    _, y, x = np.indices(shape)
    return (y + x < 40) | (y + x > sum(shape[1:]) - 40)


def padded(kind: str, fill: float) -> tuple[np.ndarray, np.ndarray]:
    """A volume and which of its voxels are blank."""
    volume = measured_volume()
    blank = np.zeros(volume.shape, dtype=bool)
    if kind == "corners":
        blank = turned_corners(volume.shape)
    elif kind == "sides":
        blank[:, :, :19] = blank[:7] = True
    elif kind == "nan":
        blank[20:38, 40:58, 40:58] = True
    volume[blank] = fill
    return volume, blank


CASES = [("corners", 0.0), ("corners", 100.0), ("sides", 0.0), ("sides", -1e4), ("nan", np.nan), ("corners", np.inf)]


@pytest.mark.filterwarnings("ignore::tomoseek.messages.Notice")
@pytest.mark.parametrize(("kind", "fill"), CASES)
@pytest.mark.parametrize("spacing", [10.0, 7.0, 16.0])
def test_blank_parts_count_as_background_at_any_spacing(kind: str, fill: float, spacing: float):
    volume, blank = padded(kind, fill)
    tomogram = Tomogram.from_array(volume, spacing).resampled("auto", 10.0)
    whole = Tomogram.from_array(measured_volume(), spacing).resampled("auto", 10.0)
    assert tomogram.contrast.centre == pytest.approx(whole.contrast.centre, abs=1)
    assert tomogram.contrast.scale == pytest.approx(whole.contrast.scale, rel=0.03)
    crop = tomogram.crop((0, 0, 0), tomogram.shape)
    deep = np.argwhere(blank)
    deep = deep[[bool(blank[tuple(slice(max(0, i - 6), i + 7) for i in at)].all()) for at in deep]]
    assert len(deep) > 5
    places = np.clip(np.rint(deep * spacing / tomogram.voxel_spacing).astype(int), 0, np.array(crop.shape) - 1)
    assert np.abs(crop[tuple(places.T)]).max() < 0.05
    assert tomogram.blank((slice(None),) * 3)[tuple(places.T)].all()


def test_a_volume_without_blank_parts_has_none():
    tomogram = Tomogram.from_array(np.random.default_rng(0).integers(-6, 7, (40, 60, 60)).astype(np.int8), 10.0)
    assert tomogram.blank_value is None
    assert not tomogram.blank((slice(None),) * 3).any()


def test_voxels_that_have_the_fill_value_by_chance_are_not_blank():
    volume = np.random.default_rng(0).integers(-6, 7, (40, 60, 60)).astype(np.int8)
    volume[:, :, :12] = 0
    tomogram = Tomogram.from_array(volume, 10.0)
    assert tomogram.blank_value == 0
    blank = tomogram.blank((slice(None),) * 3)
    assert blank[:, :, :12].all()
    assert blank[:, :, 14:].sum() == 0


def test_nan_is_told_once_and_where():
    volume, _ = padded("nan", np.nan)
    tomogram = Tomogram.from_array(volume, 10.0, run="TS_7")
    with pytest.warns(Notice, match=r"TS_7.* 4608 voxels from z y x \(16, 32, 32\) on are NaN.*background"):
        tomogram.crop((16, 32, 32), (24, 24, 24))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(tomogram.crop((0, 0, 0), volume.shape)).all()


def test_a_volume_of_nan_is_refused():
    tomogram = Tomogram.from_array(np.full((16, 16, 16), np.nan), 10.0)
    with pytest.raises(InputError, match=r"expected a tomogram with contrast, found one single value or NaN"):
        tomogram.crop((0, 0, 0), (8, 8, 8))


def balls(shape: tuple[int, int, int] = (48, 96, 96), radius: float = 9.0) -> np.ndarray:
    """Dark balls in noise, some of them cut by a face."""
    volume = np.random.default_rng(0).normal(0, 1, shape)
    for centre in ((24, 24, 24), (24, 70, 30), (3, 50, 50), (24, 94, 70), (46, 12, 80)):
        distance = np.linalg.norm(np.indices(shape) - np.array(centre).reshape(3, 1, 1, 1), axis=0)
        volume -= 12 / (1 + np.exp((distance - radius) / 1.5))
    return volume


def test_particles_cut_off_where_bytes_end_are_no_blank_parts():
    dark = np.clip(balls() * 20 + 128, 0, 255).astype(np.uint8)
    assert (dark == 0).mean() > 0.02
    for volume in (dark, 255 - dark):
        assert Tomogram.from_array(volume, 10.0).blank_value is None


def test_padding_at_the_end_of_the_range_is_blank_beside_particles_that_are_cut_off():
    volume = np.clip(balls() * 20 + 128, 0, 255).astype(np.float32)
    volume[:, :, -30:] = volume.min()
    assert Tomogram.from_array(volume, 10.0).blank_value == 0.0
