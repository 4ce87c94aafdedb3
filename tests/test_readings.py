"""Points that lie on nothing are noticed, and what they mean instead is found by what lies there."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tomoseek.geometry import indices_to_points, points_to_indices
from tomoseek.picks.readings import judge_points, other_readings

Points = NDArray[np.float64]
SHAPE, SPACING = (64, 128, 160), 8.0  # z y x
FAR = np.array([1280.0, 1024.0, 512.0])  # x y z, Å
LAST = FAR - SPACING
RADIUS = 50.0

PARTICLES = np.random.default_rng(0).uniform(20, LAST - 20, (40, 3))


def score(points_xyz: Points) -> Points:
    """High near particles, wavy elsewhere."""
    distance = cKDTree(PARTICLES).query(points_xyz)[0]
    return np.asarray(10 * np.exp(-((distance / RADIUS) ** 2)) - 10 + np.sin(points_xyz).sum(1) / 10)


def clicks(num: int, seed: int) -> Points:
    generator = np.random.default_rng(seed)
    return PARTICLES[generator.choice(len(PARTICLES), num, replace=False)] + generator.normal(0, 10, (num, 3))


MISTAKES = {
    "voxels x y z": lambda p: p / SPACING,
    "z y x in Å": lambda p: points_to_indices(p, 1.0),
    "voxels z y x": lambda p: points_to_indices(p, SPACING),
    "x z y in Å": lambda p: p[:, [0, 2, 1]],
    "voxels x z y": lambda p: p[:, [0, 2, 1]] / SPACING,
    "nanometres x y z": lambda p: p / 10,
    "x y z in Å with z flipped": lambda p: np.c_[p[:, :2], LAST[2] - p[:, 2]],
    "x y z in Å with y flipped": lambda p: np.c_[p[:, 0], LAST[1] - p[:, 1], p[:, 2]],
    "x y z in Å from the centre of the tomogram": lambda p: p - FAR / 2,
    "pixels of the unbinned tilt series, x y z at 2 Å": lambda p: p / 2.0,
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_has_a_reading_that_undoes_it(mistake: str) -> None:
    meant = clicks(6, seed=1)
    readings = {each.name: each for each in other_readings(MISTAKES[mistake](meant), SHAPE, SPACING)}
    assert readings[mistake].points_xyz == pytest.approx(meant)
    assert readings[mistake].mend


@pytest.mark.parametrize("num", [4, 10])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_mistake_is_recognised_by_where_particles_are(mistake: str, num: int) -> None:
    verdict = judge_points(MISTAKES[mistake](clicks(num, seed=2)), score, SHAPE, SPACING)
    assert not verdict.is_like
    assert verdict.better is not None and verdict.better.name == mistake
    assert verdict.num_better >= 0.7 * num
    said = verdict.sentence("examples of run TS_1")
    assert said is not None and f"{verdict.num_points - verdict.num_like} of {num} examples of run TS_1" in said
    assert f"read as {mistake} they would be at {verdict.num_better}: " in said and verdict.better.mend in said


def test_pixels_of_a_size_that_no_common_binning_gives_are_recognised() -> None:
    verdict = judge_points(clicks(10, seed=3) / 1.71, score, SHAPE, SPACING)
    assert verdict.better is not None
    assert verdict.better.name.startswith("pixels of the unbinned tilt series, x y z at 1.7")


@pytest.mark.parametrize("num", range(1, 11))
def test_points_on_particles_are_left_in_peace(num: int) -> None:
    for seed in range(5):
        verdict = judge_points(clicks(num, seed), score, SHAPE, SPACING)
        assert verdict.is_like and verdict.better is None
        assert verdict.sentence("examples") is None


def test_points_at_random_places_are_like_nothing_in_any_reading() -> None:
    for seed in range(20):
        generator = np.random.default_rng(seed)
        points = indices_to_points(generator.uniform(0, np.array(SHAPE) - 1, (8, 3)), SPACING)
        points = points[score(points) < -7]
        verdict = judge_points(points, score, SHAPE, SPACING)
        assert verdict.better is None
        said = verdict.sentence("examples")
        assert said is not None and said.startswith(f"no particle-like place at {len(points) - verdict.num_like} of ")
        assert said.endswith("; expected x y z in Å from the corner of the tomogram: look at them in a slice")


def test_one_click_on_nothing_is_noticed_but_not_explained() -> None:
    verdict = judge_points(clicks(1, seed=0) / SPACING, score, SHAPE, SPACING)
    assert (verdict.is_like, verdict.better) == (False, None)


def test_readings_lie_inside_and_differ_from_the_points_and_from_each_other() -> None:
    points = np.array([[900.0, 700.0, 300.0], [1000.0, 20.0, 100.0]])
    readings = other_readings(points, SHAPE, SPACING)
    assert {each.name for each in readings} >= {"x y z in Å with z flipped", "x y z in Å with y flipped"}
    assert "voxels x y z" not in {each.name for each in readings}  # 900 voxels are more than there are
    at_ten = [each.name for each in other_readings(points / 10, SHAPE, 10.0)]
    assert "voxels x y z" in at_ten and "nanometres x y z" not in at_ten  # the same numbers
    assert other_readings(np.zeros((0, 3)), SHAPE, SPACING) == []


def test_points_outside_the_volume_are_explained_too() -> None:
    shown = PARTICLES[PARTICLES[:, 2] < 200][:6] - FAR / 2
    assert (shown < 0).any()
    verdict = judge_points(shown, score, SHAPE, SPACING)
    assert verdict.better is not None and verdict.better.points_xyz == pytest.approx(shown + FAR / 2)
