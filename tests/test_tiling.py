"""Tiles: cut, map, blend, and get the whole back."""

import tracemalloc

import numpy as np
import pytest
import torch
from torch.nn import functional

from tomoseek.config import Polarity
from tomoseek.tomograms.tiling import iterate_slabs, plan_axis, predict_tiled
from tomoseek.tomograms.tomogram import Tomogram


def tomogram_of(shape: tuple[int, int, int]) -> Tomogram:
    volume = np.random.default_rng(0).normal(size=shape)
    return Tomogram(
        run="TS_1",
        tomogram_type="wbp",
        voxel_spacing=10.0,
        array=volume,
        polarity=Polarity.bright,
        source="memory",
    )


def pooled(volume: np.ndarray, stride: int) -> np.ndarray:
    padded = np.pad(volume, [(0, -length % stride) for length in volume.shape])
    return functional.avg_pool3d(torch.from_numpy(padded)[None], stride)[0].numpy()


@pytest.mark.parametrize("shape", [(50, 97, 133), (32, 48, 64), (5, 20, 9), (33, 49, 65)])
@pytest.mark.parametrize("overlap", [0, 15, 16])
def test_tiling_and_blending_the_identity_returns_the_volume(shape: tuple[int, int, int], overlap: int):
    tomogram = tomogram_of(shape)
    blended = predict_tiled(
        tomogram, lambda crops: crops, tile=(32, 48, 64), overlap=overlap, stride=1, num_channels=1,
        batch_size=3, progress=False, dtype=np.float32,
    )  # fmt: skip
    assert np.allclose(blended[0], tomogram.crop((0, 0, 0), shape), atol=1e-5)


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_cells_at_a_stride_land_where_they_were_computed(stride: int):
    tomogram = tomogram_of((50, 70, 133))
    blended = predict_tiled(
        tomogram, lambda crops: functional.avg_pool3d(torch.cat([crops, -crops], 1), stride),
        tile=(32, 48, 64), overlap=20, stride=stride, num_channels=2, batch_size=2, progress=False,
    )  # fmt: skip
    expected = pooled(tomogram.crop((0, 0, 0), tomogram.shape), stride)
    assert blended.dtype == np.float16 and blended.shape == (2, *expected.shape)
    assert np.allclose(blended[0], expected, atol=5e-3) and np.allclose(blended[1], -expected, atol=5e-3)


def test_slabs_cover_every_cell_once_in_order():
    tomogram = tomogram_of((70, 40, 40))
    slabs = list(
        iterate_slabs(
            tomogram, lambda crops: functional.avg_pool3d(crops, 4), tile=(32, 32, 32), overlap=16, stride=4,
            num_channels=1, progress=False,
        )
    )  # fmt: skip
    assert [start for start, _ in slabs] == list(np.cumsum([0, *(slab.shape[1] for _, slab in slabs[:-1])]))
    joined = np.concatenate([slab for _, slab in slabs], axis=1)
    assert np.allclose(joined[0], pooled(tomogram.crop((0, 0, 0), tomogram.shape), 4), atol=1e-5)


def test_the_border_of_a_tile_weighs_less_than_its_middle():
    """A network that is wrong at the border of its tile does little harm where tiles overlap."""

    def wrong_at_border(crops: torch.Tensor) -> torch.Tensor:
        answer = torch.ones_like(crops)
        answer[..., 0] = answer[..., -1] = 100
        return answer

    blended = predict_tiled(
        tomogram_of((8, 8, 200)), wrong_at_border, tile=(64, 64, 64), overlap=32, stride=1, num_channels=1,
        progress=False,
    )  # fmt: skip
    assert blended[0, :, :, 10:-10].max() < 5


def test_tiles_spread_evenly_and_their_weights_ramp_over_the_overlap():
    axis = plan_axis(100, 32, 8, 2)
    assert axis.starts == (0, 22, 46, 68)
    np.testing.assert_allclose(axis.weight, [0.2, 0.4, 0.6, 0.8, *[1.0] * 8, 0.8, 0.6, 0.4, 0.2], rtol=1e-6)
    expected = np.zeros(50)
    for start in axis.starts:
        expected[start // 2 : start // 2 + 16] += axis.weight
    np.testing.assert_allclose(axis.total, expected, rtol=1e-6)
    np.testing.assert_allclose(plan_axis(16, 16, 15, 2).weight, [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25])
    assert plan_axis(20, 64, 16, 2).tile == 24 and len(plan_axis(21, 64, 16, 2).total) == 11


def test_a_tile_must_be_a_multiple_of_eight_and_longer_than_the_overlap():
    with pytest.raises(ValueError, match=r"expected a tile of a multiple of 8 voxels, found 30"):
        plan_axis(100, 30, 4, 2)
    with pytest.raises(ValueError, match=r"expected an overlap of 0 to 31 voxels, found 32"):
        plan_axis(100, 32, 32, 2)


def test_a_network_that_returns_nan_stops_with_the_place():
    with pytest.raises(RuntimeError, match=r"expected finite network output, found NaN or infinity in z cells 0-16"):
        predict_tiled(
            tomogram_of((16, 16, 16)), lambda crops: crops * torch.nan, tile=(16, 16, 16), overlap=0,
            stride=1, num_channels=1, progress=False,
        )  # fmt: skip


def test_memory_beyond_the_result_stays_within_one_row_of_tiles():
    tomogram = tomogram_of((256, 64, 64))
    assert tomogram.contrast.scale > 0  # measured before, from its own sample
    tracemalloc.start()
    predict_tiled(
        tomogram, lambda crops: functional.avg_pool3d(crops, 4).repeat(1, 64, 1, 1, 1), tile=(32, 64, 64),
        overlap=16, stride=4, num_channels=64, progress=False,
    )  # fmt: skip
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    result = 64 * 64 * 16 * 16 * 2
    row = 64 * 8 * 16 * 16 * 4 + 32 * 64 * 64 * 4
    assert peak < result + 5 * row
