"""Which procedural assemblies a pair of scenes holds, and the crops cut from it."""

import numpy as np
import pytest
import torch

from pretrain.assemblies import MASS_SPREAD, AssemblyCrops, draw_numbers, procedural
from pretrain.config import MetricConfig, PretrainConfig
from pretrain.metric import BACKGROUND, UNNAMED
from pretrain.scene_crops import APART_VOXELS, CLEAR_VOXELS, Scene, draw_crop, draw_points
from tomoseek.command_line import compose_settings
from tomoseek.simulate.domains import mass_kda


def metric(*words: str) -> MetricConfig:
    return compose_settings("pretrain", PretrainConfig, ["stage=metric", *words]).metric


def test_siblings_weigh_about_the_same_and_families_do_not() -> None:
    numbers = draw_numbers(metric("metric.siblings=4"), 40, np.random.default_rng(0))
    masses = np.array([mass_kda(procedural(number, 4, 20.0), 20.0) for number in numbers]).reshape(10, 4)
    # What overlapping or soft-edged domains add to or take from the mass stays within a tenth.
    assert (masses.max(1) / masses.min(1)).max() < 1.1 * MASS_SPREAD
    assert masses.max() / masses.min() > 3


def test_siblings_differ_in_shape() -> None:
    first, second = (procedural(number, 4, 20.0) for number in (8, 9))
    assert first.shape != second.shape or float((first - second).abs().mean() / first.mean()) > 0.2


def test_an_endless_stream_never_repeats_and_a_number_is_always_the_same_assembly() -> None:
    config = metric("metric.siblings=3")
    drawn = [number for seed in range(50) for number in draw_numbers(config, 24, np.random.default_rng(seed))]
    assert len(set(drawn)) == len(drawn) == 50 * 24
    assert procedural(drawn[0], 3, 20.0).equal(procedural(drawn[0], 3, 20.0))


@pytest.mark.parametrize(("num_classes", "count"), [(30, 24), (10, 10), (0, 0)])
def test_a_limited_number_of_classes_is_kept_to(num_classes: int, count: int) -> None:
    config = metric(f"metric.num_classes={num_classes}", "metric.siblings=4")
    drawn = [draw_numbers(config, 24, np.random.default_rng(seed)) for seed in range(30)]
    assert max(len(numbers) for numbers in drawn) == count
    seen = {number for numbers in drawn for number in numbers}
    assert seen == set(range(num_classes))


def scene(num_particles: int = 3) -> Scene:
    """Two halves of independent noise around the same blobs, the first ``num_particles`` of eight labelled."""
    random = np.random.default_rng(0)
    centres = np.stack(np.meshgrid(*[[20, 60]] * 3, indexing="ij"), -1).reshape(-1, 3).astype(np.float32)
    grid = np.stack(np.meshgrid(*[np.arange(80)] * 3, indexing="ij"), -1)
    clean = sum(8 * np.exp(-((grid - c) ** 2).sum(-1) / 18) for c in centres)
    halves = np.stack([clean + random.normal(size=clean.shape) for _ in range(2)]).astype(np.float16)
    nowhere = np.zeros((0, 3), np.float32)
    return Scene(halves, 0.0, 1.0, 1.0, centres[:num_particles], np.arange(num_particles), nowhere, nowhere)


def settings(*words: str) -> PretrainConfig:
    return compose_settings("pretrain", PretrainConfig, ["stage=metric", *words])


def test_points_of_a_crop_are_particles_or_far_enough_from_all_of_them() -> None:
    known = scene(3)
    aside = np.array([12, 0, 0], np.float32)
    known.unnamed_zyx = known.points_zyx + aside
    known.clutter_zyx = np.concatenate([known.points_zyx + 2 * aside, known.unnamed_zyx + aside / 6])
    config = settings("metric.background_points=200", "metric.jitter=0", "crop=64")
    start = np.array([8, 8, 8])
    points, label = draw_points(known, start, config, np.random.default_rng(0))
    points = points + start
    named, unnamed = known.points_zyx, known.unnamed_zyx

    def away(chosen: np.ndarray, centres: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return np.linalg.norm(chosen[:, None] - centres, axis=2).min(1)

    for k, point in enumerate(named):
        assert np.allclose(points[label == k], point)
    assert np.allclose(away(points[label == UNNAMED], unnamed), 0) and (label == UNNAMED).sum() == 3
    nothing = points[label == BACKGROUND]
    assert away(nothing, np.concatenate([named, unnamed])).min() >= APART_VOXELS
    off_centre = away(nothing, named) < CLEAR_VOXELS
    assert 0 < off_centre.sum() <= 6  # beside the three particles, and clutter beside an unnamed one is left out
    assert (away(nothing, known.clutter_zyx[:3]) < 1e-3).sum() == 3


def test_the_target_of_a_crop_shows_the_same_place_with_the_other_noise() -> None:
    known, config = scene(), settings("crop=64", "metric.masked_weight=0.5")
    correlations = []
    for seed in range(20):
        crop = draw_crop(known, config, np.random.default_rng(seed))
        assert crop.target is not None
        assert crop.volume.shape == crop.target.shape == (64, 64, 64)
        correlations.append(np.corrcoef(crop.volume.ravel(), crop.target.ravel())[0, 1])
    assert min(correlations) < 0.5 < max(correlations)  # from independent halves to nearly the same mixture


def test_hidden_pieces_are_drawn_only_where_they_are_rebuilt() -> None:
    words = ["metric.pool=1", "metric.scene=[64,64,64]", "metric.classes_per_scene=2", "batch_size=2"]
    plain = AssemblyCrops(settings(*words), 0, torch.device("cpu")).batch(0)
    beside = AssemblyCrops(settings(*words, "metric.masked_weight=0.5"), 0, torch.device("cpu")).batch(0)
    assert set(beside) - set(plain) == {"target", "visible", "hidden"}
    for key, value in plain.items():
        assert torch.equal(value, beside[key])
