"""Targets sit where the picks are, and stay there under every augmentation."""

import numpy as np
import pytest
import torch

from finetune.augment import AugmentConfig, Warp, change_intensity, flip_and_turn
from finetune.decoder import HEATMAP_STRIDE, Decoder, Picker
from finetune.targets import draw_heatmaps, heatmap_loss, target_sigmas
from tomoseek.geometry import cell_to_voxel
from tomoseek.network.weights import random_encoder

SIZE = (32, 40, 48)


def still(**changes: float | bool) -> AugmentConfig:
    settings = {
        "flip": False, "quarter_turns": False, "max_rotation_degrees": 0.0, "max_scale": 0.0,
        "intensity_scale": 0.0, "intensity_shift": 0.0, "noise": 0.0,
    } | changes  # fmt: skip
    return AugmentConfig(**settings)


def draw_balls(points: np.ndarray, size: tuple[int, int, int], radius: float = 2.5) -> np.ndarray:
    """A volume with a soft ball at each point (z y x)."""
    grid = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1)
    distances = np.linalg.norm(grid[None] - points[:, None, None, None], axis=-1)
    return np.exp(-0.5 * (distances / radius) ** 2).max(axis=0).astype(np.float32)


def centre_of_mass(heatmap: np.ndarray) -> np.ndarray:
    grid = np.stack(np.meshgrid(*map(np.arange, heatmap.shape), indexing="ij"), axis=-1)
    return (grid * heatmap[..., None]).sum((0, 1, 2)) / heatmap.sum()


@pytest.mark.parametrize("point", [(15.0, 20.0, 25.0), (14.3, 19.8, 22.6), (16.5, 16.5, 30.49)])
def test_target_is_centred_on_the_pick_to_a_tenth_of_a_cell(point):
    heatmap = draw_heatmaps([np.array([point])], [1.5], SIZE)[0]
    found = cell_to_voxel(centre_of_mass(heatmap)[None], HEATMAP_STRIDE)[0]
    assert np.abs(found - point).max() < 0.1 * HEATMAP_STRIDE
    nearest = np.unravel_index(heatmap.argmax(), heatmap.shape)
    assert np.abs(cell_to_voxel(np.array(nearest), HEATMAP_STRIDE) - point).max() <= HEATMAP_STRIDE / 2


def test_target_is_one_where_a_cell_centre_meets_the_pick():
    heatmap = draw_heatmaps([cell_to_voxel(np.array([[5, 6, 7]]), HEATMAP_STRIDE)], [1.0], SIZE)[0]
    assert heatmap[5, 6, 7] == pytest.approx(1.0)
    assert heatmap.max() == heatmap[5, 6, 7]


def test_a_pick_just_outside_the_crop_lends_it_its_tail():
    inside = draw_heatmaps([np.array([[16.0, 16.0, -1.0]])], [2.0], SIZE)[0]
    assert 0.5 < inside.max() < 1.0
    assert np.unravel_index(inside.argmax(), inside.shape)[2] == 0


def test_small_particles_keep_a_target_of_at_least_one_cell():
    assert target_sigmas([20.0, 150.0], 10.0, 0.3) == [1.0, pytest.approx(2.25)]


@pytest.mark.parametrize("change", [{"flip": True}, {"quarter_turns": True}, {"flip": True, "quarter_turns": True}])
def test_flips_and_turns_move_volume_and_target_alike(change):
    size = (32, 40, 40)
    points = np.array([[10.0, 12.0, 28.0], [22.0, 30.0, 9.0]])
    volume = draw_balls(points, size)
    for seed in range(12):
        moved, moved_points = flip_and_turn(volume, [points], still(**change), np.random.default_rng(seed))
        np.testing.assert_allclose(moved, draw_balls(moved_points[0], size), atol=1e-5)


def test_rotation_and_scale_move_volume_and_target_alike():
    points = np.array([[16.0, 14.0, 30.0], [12.0, 28.0, 12.0], [20.0, 20.0, 24.0]])
    for angle, scale in [(0.4, 1.0), (-0.9, 1.1), (0.2, 0.9)]:
        warp = Warp(angle, scale)
        source = warp.source_size(SIZE)
        shift = (np.array(source) - SIZE) / 2
        volume = draw_balls(points + shift, source)
        warped, (moved,) = warp.apply(volume, [points + shift], SIZE)
        assert warped.shape == SIZE
        expected = draw_balls(moved, SIZE, radius=2.5 * scale)
        assert np.corrcoef(warped.ravel(), expected.ravel())[0, 1] > 0.99


def test_a_crop_read_for_rotation_has_no_empty_corner():
    for angle, scale in [(np.pi / 4, 1.0), (0.3, 0.8), (1.2, 0.9)]:
        warp = Warp(angle, scale)
        full = np.ones(warp.source_size(SIZE), np.float32)
        assert warp.apply(full, [], SIZE)[0].min() == pytest.approx(1.0)


def test_intensity_changes_are_off_at_zero_and_leave_the_input_alone():
    volume = np.ones((8, 8, 8), np.float32)
    np.testing.assert_array_equal(change_intensity(volume, still(), np.random.default_rng(0)), volume)
    change_intensity(volume, still(noise=1.0, intensity_scale=0.5), np.random.default_rng(0))
    np.testing.assert_array_equal(volume, np.ones((8, 8, 8), np.float32))


def test_loss_is_least_at_the_target_itself_whatever_the_positive_weight():
    target = torch.from_numpy(draw_heatmaps([np.array([[15.0, 20.0, 25.0]])], [1.5], SIZE))[None]
    known = torch.ones_like(target)
    for weight in (1.0, 256.0):
        exact = heatmap_loss(torch.logit(target, eps=1e-6), target, known, weight, 1.0)
        for wrong in (target * 0.8, (target + 0.1).clamp(max=1), target.roll(1, dims=-1)):
            assert exact < heatmap_loss(torch.logit(wrong, eps=1e-6), target, known, weight, 1.0)


def test_taking_one_class_for_another_costs_more_than_taking_ice_for_it():
    points = [np.array([[16.0, 16.0, 16.0]]), np.zeros((0, 3))]
    target = torch.from_numpy(draw_heatmaps(points, [1.5, 1.5], SIZE))[None]
    right = torch.logit(target, eps=1e-6)
    confused, elsewhere = right.clone(), right.clone()
    confused[0, 1] = right[0, 0]
    elsewhere[0, 1] = right[0, 0].roll(8, dims=-1)
    known = torch.ones_like(target)
    extra = [heatmap_loss(wrong, target, known, 256.0, 16.0) for wrong in (confused, elsewhere)]
    assert extra[0] > 5 * extra[1] > 0
    plain = [heatmap_loss(wrong, target, known, 256.0, 1.0) for wrong in (confused, elsewhere)]
    torch.testing.assert_close(plain[0], plain[1])


def test_a_class_that_a_crop_knows_nothing_of_adds_no_loss():
    logits, target = torch.randn(2, 2, 4, 4, 4), torch.zeros(2, 2, 4, 4, 4)
    known = torch.tensor([1.0, 0.0])[:, None, None, None].expand_as(target)
    masked = heatmap_loss(logits, target, known, 256.0, 1.0)
    alone = heatmap_loss(logits[:, :1], target[:, :1], known[:, :1], 256.0, 1.0)
    torch.testing.assert_close(masked, alone)


def test_a_frozen_encoder_gets_no_gradient():
    encoder = random_encoder("tiny")
    picker = Picker(encoder, Decoder(encoder.config, 1, [16, 8]), frozen=True)
    picker(torch.randn(1, 1, 16, 16, 16)).sum().backward()
    assert all(parameter.grad is None for parameter in picker.encoder.parameters())
    assert all(parameter.grad is not None for parameter in picker.decoder.parameters())
