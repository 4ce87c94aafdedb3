"""Tomograms at a spacing that a network does not know are brought to one that it does."""

import tracemalloc

import numpy as np
import pytest

from tomoseek import Tomogram
from tomoseek.config import check_resample
from tomoseek.errors import InputError
from tomoseek.geometry import points_to_indices
from tomoseek.picks.points import check_inside
from tomoseek.tomograms.resample import lanczos

WAVELENGTHS_XYZ = (400.0, 300.0, 250.0)  # Å


def waves(shape: tuple[int, int, int], spacing: float) -> np.ndarray:
    """A field that is known everywhere, in voxels of any size."""
    along = [
        np.sin(2 * np.pi * np.arange(n) * spacing / w + 1)
        for n, w in zip(shape, reversed(WAVELENGTHS_XYZ), strict=True)
    ]
    return along[0][:, None, None] + along[1][None, :, None] + along[2][None, None, :]


@pytest.mark.parametrize("spacing", [3.0, 5.0, 7.84, 13.48, 20.0, 31.4])
def test_a_resampled_field_is_the_field_at_the_new_voxels(spacing: float):
    shape = tuple(round(1500 / spacing) for _ in range(3))
    tomogram = Tomogram.from_array(waves(shape, spacing), spacing, polarity="bright").resampled("auto", 10.0)
    assert tomogram.voxel_spacing == 10.0
    values = tomogram.read((slice(20, 120),) * 3)
    expected = waves((120, 120, 120), 10.0)[20:, 20:, 20:]
    assert np.abs(values - expected).max() < 0.06
    assert np.corrcoef(values.ravel(), expected.ravel())[0, 1] > 0.9997


def test_what_the_coarser_voxels_cannot_show_is_taken_out():
    fast = np.sin(2 * np.pi * np.arange(400) * 5.0 / 13.0)[None, None, :] * np.ones((8, 8, 1))  # 13 Å: finer than 20
    slow = np.sin(2 * np.pi * np.arange(400) * 5.0 / 100.0)[None, None, :] * np.ones((8, 8, 1))
    at_ten = [Tomogram.from_array(field, 5.0).resampled(10.0, 10.0).read() for field in (fast, slow)]
    assert at_ten[0][:, :, 10:-10].std() < 0.1 * fast.std()
    assert at_ten[1][:, :, 10:-10].std() == pytest.approx(slow.std(), rel=0.05)


def test_a_region_is_what_the_whole_has_there():
    rng = np.random.default_rng(0)
    tomogram = Tomogram.from_array(rng.normal(size=(40, 50, 200)), 7.0).resampled("auto", 10.0)
    whole = tomogram.read()
    region = (slice(3, 20), slice(11, 30), slice(60, 140))
    assert np.allclose(tomogram.read(region), whole[region], atol=1e-4)
    assert np.allclose(
        tomogram.crop((-2, 5, 5), (8, 8, 8))[2:], tomogram.contrast.apply(whole[:6, 5:13, 5:13]), atol=1e-3
    )


@pytest.mark.parametrize("spacing", [4.0, 7.84, 13.48, 31.4])
def test_a_point_of_the_stored_volume_stays_in_it(spacing: float):
    tomogram = Tomogram.from_array(np.random.default_rng(0).normal(size=(30, 41, 52)), spacing)
    other = tomogram.resampled("auto", 10.0)
    far = (np.array(tomogram.shape)[::-1] - 1.0) * spacing
    check_inside(np.stack([np.zeros(3), far]), other.shape, other.voxel_spacing, "corners")
    assert (points_to_indices(far, 10.0) > np.array(other.shape) - 3).all()  # and nothing is added
    assert other.stored is tomogram


@pytest.mark.parametrize(
    ("spacing", "resample", "expected"),
    [(10.9, "auto", 10.9), (9.1, "auto", 9.1), (11.1, "auto", 10.0), (31.4, None, 31.4), (31.4, 15.7, 15.7),
     (10.5, 10.0, 10.0), (10.05, 10.0, 10.05)],
)  # fmt: skip
def test_it_is_resampled_where_it_has_to_be(spacing: float, resample: str | float | None, expected: float):
    tomogram = Tomogram.from_array(np.zeros((8, 8, 8)), spacing)
    assert tomogram.resampled(resample, 10.0).voxel_spacing == expected
    assert (tomogram.resampled(resample, 10.0) is tomogram) == (expected == spacing)


@pytest.mark.parametrize("bad", ["none", 0, -3.0, True, [10]])
def test_a_setting_that_is_no_spacing_is_refused(bad: object):
    with pytest.raises(InputError, match=r"data\.resample: expected auto"):
        check_resample(bad)


def test_weights_add_up_to_one_at_the_ends_too():
    for step in (0.3, 1.0, 2.7):
        start, weights = lanczos(0, 20, step, 7)
        assert np.allclose(weights.sum(1), 1, atol=1e-6)
        assert start >= 0 and start + weights.shape[1] <= 7


def test_memory_does_not_grow_with_the_volume(tmp_path):
    stored = np.lib.format.open_memmap(tmp_path / "v.npy", mode="w+", dtype=np.float32, shape=(300, 400, 400))
    stored[:64] = np.random.default_rng(0).normal(size=(64, 400, 400))
    tomogram = Tomogram.from_array(stored, 7.84).resampled("auto", 10.0)
    tracemalloc.start()
    tomogram.read((slice(0, 96), slice(0, 96), slice(0, 96)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # bytes; the whole is 192 MB
