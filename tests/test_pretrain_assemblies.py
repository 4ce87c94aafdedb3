"""Which procedural assemblies a pair of scenes holds, and the crops cut from it."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from pretrain.assemblies import MASS_SPREAD, draw_numbers, procedural
from pretrain.config import MetricConfig, PretrainConfig
from pretrain.metric import BACKGROUND, FIRST_INSTANCE, PADDING, MetricLearner
from pretrain.scene_crops import CLEAR_VOXELS, Scene, draw_crops, unlabelled_places
from tomoseek.command_line import compose_settings
from tomoseek.network.weights import random_encoder
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
    return Scene(halves, 0.0, 1.0, 1.0, centres[:num_particles], np.arange(num_particles))


def settings(*words: str) -> PretrainConfig:
    return compose_settings("pretrain", PretrainConfig, ["stage=metric", *words])


def test_unlabelled_places_are_dense_and_clear_of_labelled_particles() -> None:
    config, random, made = settings("metric.instances=12"), np.random.default_rng(0), scene()
    start = np.array([8, 8, 8])
    places = unlabelled_places(made, start, config, random)
    assert len(places) == 12
    distance = np.linalg.norm(places[:, None] + start - made.points_zyx[None], axis=-1)
    assert distance.min() > CLEAR_VOXELS
    smooth = made.halves.mean(0, dtype=np.float32)[8:72, 8:72, 8:72]
    assert smooth[tuple(places.astype(int).T)].mean() > smooth.mean() + 0.1


def test_two_views_show_the_same_places_in_independent_noise() -> None:
    crops = draw_crops((scene(), scene()), settings("metric.instances=6", "batch_size=4"), np.random.default_rng(3))
    assert len(crops) == 4
    (first, first_points, first_label), (second, second_points, second_label) = crops[:2]
    instance = first_label[first_label >= FIRST_INSTANCE]
    assert len(instance) == 6
    np.testing.assert_array_equal(instance, second_label[second_label >= FIRST_INSTANCE])
    assert not set(instance) & set(crops[2][2].tolist())
    # Flips undone, the same structure is at the places, and the noise is another.
    ours, theirs = (points[label >= FIRST_INSTANCE] for points, label in
                    ((first_points, first_label), (second_points, second_label)))  # fmt: skip
    for axis in range(3):
        if not np.allclose(ours[:, axis], theirs[:, axis]):
            np.testing.assert_allclose(ours[:, axis], 63 - theirs[:, axis])
            second = np.flip(second, axis)
    structure = [ndimage.gaussian_filter(volume, 2.0) for volume in (first, second)]
    assert np.corrcoef(structure[0].ravel(), structure[1].ravel())[0, 1] > 0.8
    noise = [volume - smooth for volume, smooth in zip((first, second), structure, strict=True)]
    assert np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1] < 0.1


def test_unlabelled_places_are_pulled_together_and_say_nothing_of_particles() -> None:
    torch.manual_seed(0)
    learner = MetricLearner(random_encoder("tiny"), settings().metric)
    points = torch.tensor([[[8.0, 8.0, 8.0], [20.0, 20.0, 20.0]]]).repeat(2, 1, 1)
    batch = {"input": torch.randn(2, 32, 32, 32), "points": points}
    same, none = FIRST_INSTANCE + 5, BACKGROUND
    losses = {
        name: learner({**batch, "label": torch.tensor(label)})
        for name, label in {"agree": [[same, none], [same, none]], "background": [[none, none], [none, none]]}.items()
    }
    assert losses["agree"]["contrastive"] > 0 == losses["background"]["contrastive"]
    only_background = learner({**batch, "label": torch.tensor([[PADDING, none], [PADDING, none]])})
    torch.testing.assert_close(losses["agree"]["particle"], only_background["particle"])
