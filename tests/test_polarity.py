"""Whether protein is dark or bright is told from the values, and nothing that is no protein flips the answer."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tomoseek import Tomogram, open_tomogram
from tomoseek.config import Polarity
from tomoseek.simulate import MicroscopeConfig, SceneConfig, builtin_density, simulate_tomogram
from tomoseek.tomograms.polarity import estimate_polarity, looks_inverted

Volume = NDArray[np.float32]
SPACING = 10.0


def simulated(snr: float, spacing: float = SPACING, seed: int = 0) -> Volume:
    extent = (480.0, 1280.0, 1280.0)
    scene = SceneConfig(shape=[round(length / spacing / 8) * 8 for length in extent], voxel_spacing=spacing)
    names = ("ribosome", "apo-ferritin", "thyroglobulin")
    densities = {name: builtin_density(name, spacing) for name in names}
    microscope = MicroscopeConfig(snr=[snr, snr])
    return simulate_tomogram(densities, dict.fromkeys(names, 20), scene, microscope, seed).full.numpy()


@pytest.fixture(scope="module")
def dim() -> Volume:
    return simulated(0.05)


def guess(volume: Volume, spacing: float = SPACING) -> Polarity | None:
    return estimate_polarity(Tomogram.from_array(volume, spacing), spacing)


@pytest.mark.parametrize(
    ("snr", "spacing", "seed"), [(0.3, 10.0, 1), (0.05, 10.0, 2), (0.05, 5.0, 3), (0.05, 15.7, 4), (0.3, 31.4, 5)]
)
def test_polarity_is_told_at_any_brightness_and_voxel_spacing(snr: float, spacing: float, seed: int) -> None:
    volume = simulated(snr, spacing, seed)
    assert guess(volume, spacing) is Polarity.dark
    assert guess(7 - 3 * volume, spacing) is Polarity.bright


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("share", [1e-4, 1e-2])
def test_hot_voxels_do_not_flip_it(dim: Volume, sign: float, share: float) -> None:
    volume = dim.copy()
    volume[np.random.default_rng(0).random(volume.shape) < share] = sign * 200 * volume.std()
    assert guess(volume) is Polarity.dark
    assert guess(-volume) is Polarity.bright


def test_gold_beads_are_dark_where_protein_is(dim: Volume) -> None:
    volume = dim.copy()
    generator = np.random.default_rng(0)
    grids = np.ogrid[tuple(slice(0, length) for length in volume.shape)]
    for _ in range(8):
        centre = [generator.integers(0, length) for length in volume.shape]
        volume[sum((grid - middle) ** 2 for grid, middle in zip(grids, centre, strict=True)) < 25] = -30 * dim.std()
    assert guess(volume) is Polarity.dark
    assert guess(-volume) is Polarity.bright


@pytest.mark.parametrize("value", [0.0, "least", "most", np.nan])
def test_padding_does_not_count(dim: Volume, value: float | str) -> None:
    volume = dim.copy()
    volume[:, :45] = volume[:, :, :37] = {"least": dim.min(), "most": dim.max()}.get(str(value), value)
    assert guess(volume) is Polarity.dark
    assert guess(-volume) is Polarity.bright


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_edge_of_a_carbon_film_does_not_flip_it(dim: Volume, sign: float) -> None:
    _, y, x = np.indices(dim.shape)
    volume = np.asarray(dim + sign * 2 * dim.std() * (x + y / 2 > 0.8 * dim.shape[2]), dtype=np.float32)
    assert guess(volume) is not Polarity.bright
    assert guess(-volume) is not Polarity.dark


def test_noise_and_nothing_tell_nothing() -> None:
    for seed in range(5):
        shape = [(48, 64, 64), (64, 128, 128)][seed % 2]
        noise = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
        assert guess(noise) is None
    assert guess(np.zeros((16, 16, 16), dtype=np.float32)) is None
    assert guess(np.full((16, 16, 16), np.nan, dtype=np.float32)) is None


def test_a_large_volume_is_read_in_few_blocks() -> None:
    class Counting:
        shape = (1000, 4000, 4000)
        blank_value = None
        num_read = 0

        def read(self, region: tuple[slice, slice, slice] | None = None) -> Volume:
            assert region is not None
            size = [part.stop - part.start for part in region]
            self.num_read += int(np.prod(size))
            return np.random.default_rng(0).normal(size=size).astype(np.float32)

    volume = Counting()
    estimate_polarity(volume, SPACING)
    assert volume.num_read == 16 * 64**3


def test_a_tomogram_stated_otherwise_looks_inverted(dim: Volume) -> None:
    assert looks_inverted(Tomogram.from_array(dim, SPACING)) is None
    said = looks_inverted(Tomogram.from_array(-dim, SPACING, run="TS_7"))
    assert said == ("run TS_7: protein looks bright, stated dark: look at a slice, and set data.polarity=bright if so")
    assert looks_inverted(Tomogram.from_array(-dim, SPACING, polarity="bright")) is None


@pytest.mark.parametrize(
    ("file", "spacing", "expected"),
    [
        ("yeast80S/lamella_a.mrc", 31.36, Polarity.dark),
        ("lysosome/slab.mrc", 12.0, Polarity.dark),
        ("exosomes/slab.mrc", 16.56, Polarity.dark),
        ("13pf_MT.tif", 10.52, Polarity.bright),
        ("14pf_MT.tif", 10.52, Polarity.bright),
    ],
)
def test_real_tomograms_raise_no_alarm(shared_data: Path, file: str, spacing: float, expected: Polarity) -> None:
    tomogram = open_tomogram(shared_data / "real" / file, voxel_spacing=spacing, polarity=expected)
    assert looks_inverted(tomogram) is None
    assert estimate_polarity(tomogram, spacing) is expected
