"""Densities around places, and what ranks by them."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from embed.density_profile import NUM_SHELLS, STEP, THICKNESS, fit_profile, leave_one_out_profile
from embed.shells import LAYERS, shell_densities
from tomoseek import Tomogram
from tomoseek.geometry import cell_to_voxel

SHAPE = (90, 61, 74)  # more layers than one slab holds, and a partial last cell along each axis
SPACING = 10.0
CPU = torch.device("cpu")


def shells_of(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Densities around all cells of a volume that is taken as it is, bright, in its own units."""

    class Plain:
        shape = volume.shape

        def crop(self, start: list[int], size: list[int]) -> NDArray[np.float32]:
            padded = np.pad(volume, [(100, 100)] * 3)
            z, y, x = (slice(100 + first, 100 + first + length) for first, length in zip(start, size, strict=True))
            return padded[z, y, x]

    return shell_densities(Plain(), CPU) * np.float32(STEP)


def ball(centre_zyx: NDArray[np.float64], radius: float) -> NDArray[np.float32]:
    """A ball of density 3 in a volume of zeros; radius in voxels."""
    away = np.linalg.norm(np.moveaxis(np.indices(SHAPE), 0, -1) - centre_zyx, axis=-1)
    return (3 * np.clip(radius - away + 0.5, 0, 1)).astype(np.float32)


def test_a_shell_holds_the_mean_of_what_lies_so_far_away():
    assert SHAPE[0] / 4 > LAYERS
    volume = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 2).astype(np.float32) * 10
    shells = shells_of(volume)
    assert shells.shape == (23, 16, 19, NUM_SHELLS)
    places = np.moveaxis(np.indices(SHAPE), 0, -1)
    for cell in ((17, 8, 9), (11, 7, 9)):
        away = np.linalg.norm(places - cell_to_voxel(np.array(cell), 4), axis=-1)
        for k in range(NUM_SHELLS // 3):  # those that no border cuts
            weight = np.clip(1 - np.abs(away - k * THICKNESS) / THICKNESS, 0, None)
            expected = (weight * volume).sum() / weight.sum()
            assert abs(shells[(*cell, k)] - expected) < 0.15 * volume.std(), (cell, k)


def test_a_ball_is_dense_within_and_nowhere_else():
    cell = np.array((10, 8, 9))
    profile = shells_of(ball(cell_to_voxel(cell, 4), 9.0))[tuple(cell)]
    np.testing.assert_allclose(profile[:3], 3.0, atol=0.1)  # up to 7.5 voxels away
    assert 1.0 < profile[3:5].mean() < 2.0
    np.testing.assert_allclose(profile[6:], 0.0, atol=0.1)


def test_what_is_padding_counts_as_background():
    flat = shells_of(np.full(SHAPE, 2.0, np.float32))
    np.testing.assert_allclose(flat[10, 8, 9, :3], 2.0, atol=STEP)
    assert flat[0, 0, 0, -1] < 0.6  # an eighth of the way round lies inside


def test_a_tomogram_is_seen_in_its_own_contrast():
    noise = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    dense = ball(cell_to_voxel(np.array((10, 7, 9)), 4), 9.0)
    dark = Tomogram.from_array(5 - 4 * (noise + dense), voxel_spacing=SPACING)
    shells = shell_densities(dark, CPU) * STEP
    assert np.unravel_index(shells[..., :3].mean(-1).argmax(), shells.shape[:3]) == (10, 7, 9)


def test_what_is_as_large_and_dense_as_the_examples_scores_highest():
    places = {9.0: (5, 8, 4), 6.0: (5, 8, 14), 14.0: (16, 8, 9)}
    volume = sum(ball(cell_to_voxel(np.array(cell), 4), radius) for radius, cell in places.items())
    shells = shells_of(np.asarray(volume, np.float32))
    anywhere = shells.reshape(-1, NUM_SHELLS)
    examples = shells[places[9.0]][None]
    profile = fit_profile(examples, anywhere, 9 * SPACING, SPACING)
    scores = {radius: float(profile.score(shells[cell][None])[0]) for radius, cell in places.items()}
    assert abs(scores[9.0] - 1) < 1e-5 and abs(profile.score(anywhere).mean()) < 1e-4
    assert scores[6.0] < 0.8 and scores[14.0] < 0.95, scores
    farther = fit_profile(examples + np.where(np.arange(NUM_SHELLS) > 6, 5, 0), anywhere, 9 * SPACING, SPACING)
    np.testing.assert_allclose(farther.weights, profile.weights)  # what is beyond reach plays no part


def test_each_example_is_scored_by_the_others():
    examples = np.zeros((3, NUM_SHELLS), np.float32)
    examples[:, 0] = 4.0, 4.0, 2.0
    anywhere = np.zeros((4, NUM_SHELLS), np.float32)
    np.testing.assert_allclose(leave_one_out_profile(examples, anywhere, 40.0, SPACING), [4 / 3, 4 / 3, 0.5], atol=1e-5)
    assert len(leave_one_out_profile(examples[:1], anywhere, 40.0, SPACING)) == 0
