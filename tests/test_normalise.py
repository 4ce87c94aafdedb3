"""Contrast: robust, signed, and never silent about bad voxels."""

import numpy as np
import pytest

from tomoseek.config import Polarity
from tomoseek.errors import InputError
from tomoseek.tomograms.normalise import measure_contrast
from tomoseek.tomograms.tomogram import Tomogram


def tomogram_of(volume: np.ndarray, polarity: Polarity = Polarity.dark) -> Tomogram:
    return Tomogram(
        run="TS_1", tomogram_type="wbp", voxel_spacing=10.0, array=volume, polarity=polarity, source="memory"
    )


def test_gaussian_background_becomes_zero_mean_and_unit_spread():
    volume = np.random.default_rng(0).normal(-3.0, 0.25, (40, 50, 60))
    contrast = measure_contrast(tomogram_of(volume), Polarity.bright)
    assert contrast.centre == pytest.approx(-3.0, abs=0.01)
    assert contrast.scale == pytest.approx(0.25, rel=0.02)
    normalised = contrast.apply(volume)
    assert normalised.dtype == np.float32
    assert abs(float(normalised.mean())) < 0.02 and float(normalised.std()) == pytest.approx(1, rel=0.02)


def test_gold_beads_move_neither_background_nor_spread_and_are_clipped():
    volume = np.random.default_rng(0).normal(size=(64, 64, 64))
    clean = measure_contrast(tomogram_of(volume), Polarity.dark)
    volume[:8, :8, :8] = -1e6
    beads = measure_contrast(tomogram_of(volume), Polarity.dark)
    assert beads.centre == pytest.approx(clean.centre, abs=0.01)
    assert beads.scale == pytest.approx(clean.scale, rel=0.01)
    assert beads.apply(volume).max() == 8.0


def test_normalising_undoes_any_gain_and_offset_and_polarity():
    volume = np.random.default_rng(0).normal(size=(32, 40, 40))
    dark = tomogram_of(volume).contrast.apply(volume)
    bright_copy = -17 * volume + 300
    bright = tomogram_of(bright_copy, Polarity.bright).contrast.apply(bright_copy)
    assert np.allclose(dark, bright, atol=1e-4)


def test_measuring_reads_a_bounded_number_of_voxels():
    class Counting:
        shape = (1000, 4000, 4000)
        num_read = 0

        def measured(self, region):
            assert all(part.start % 32 == 0 and part.stop - part.start == 32 for part in region)  # as chunks lie
            size = [len(range(*part.indices(length))) for part, length in zip(region, self.shape, strict=True)]
            self.num_read += int(np.prod(size))
            return np.random.default_rng(self.num_read).normal(size=int(np.prod(size))).astype(np.float32)

    volume = Counting()
    measure_contrast(volume, Polarity.dark)
    assert 31 * 32**3 < volume.num_read <= 32 * 32**3


def test_padding_of_one_value_does_not_count():
    volume = np.zeros((64, 128, 128))
    volume[:, 64:, :] = np.random.default_rng(0).normal(5, 2, (64, 64, 128))
    assert measure_contrast(tomogram_of(volume), Polarity.dark).centre == pytest.approx(5, abs=0.1)


def test_a_constant_volume_is_refused():
    with pytest.raises(InputError, match=r"expected a tomogram with contrast, found one single value.*TS_1"):
        measure_contrast(tomogram_of(np.full((16, 16, 16), 4.0)), Polarity.dark)
    mask = (np.random.default_rng(0).random((16, 16, 16)) < 0.1).astype(float)
    with pytest.raises(InputError, match=r"expected a tomogram with contrast, found over two thirds"):
        measure_contrast(tomogram_of(mask), Polarity.dark)
