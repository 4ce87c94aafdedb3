"""From heatmaps to candidates: where peaks are, how near one another, in which units."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from finetune.detect import DetectConfig, find_particles, keep_above, one_per_site
from tomoseek.errors import InputError
from tomoseek.picks.points import Picks
from tomoseek.tomograms.tomogram import Tomogram

SIZE = (17, 40, 49)
SPACING = 10.0
RADII = {"ball": 60.0, "shell": 80.0}
NAMES = {1: ["ball"], 2: list(RADII)}


class Bright(nn.Module):
    """Answers bright cells, alike for every class, and remembers the sizes it was given."""

    def __init__(self, num_classes: int = 1) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.sizes: set[tuple[int, ...]] = set()

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        self.sizes.add(tuple(volume.shape))
        return nn.functional.avg_pool3d(volume, 2).repeat(1, self.num_classes, 1, 1, 1) - 2.0


class Lopsided(torch.nn.Module):
    """Answers darker voxels, and looks only to lower x and y: no mirror image of itself."""

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        beside = 0.5 * volume.roll(2, dims=4) + 0.3 * volume.roll(2, dims=3)
        return torch.nn.functional.avg_pool3d(-(volume + beside), 2)


def tomogram_of(*bright_zyx: tuple[int, int, int], heights: tuple[float, ...] = ()) -> Tomogram:
    """Noise with bright cells of two voxels an edge, which begin where it is said."""
    volume = np.random.default_rng(0).normal(size=SIZE).clip(-2, 2)
    for (z, y, x), height in zip(bright_zyx, heights or [6.0] * len(bright_zyx), strict=True):
        volume[z : z + 2, y : y + 2, x : x + 2] = height
    return Tomogram.from_array(volume, SPACING, polarity="bright")


def find(tomogram: Tomogram, picker: nn.Module, num_classes: int = 1, **changes: Any) -> dict[str, Picks]:
    detect = {"tile": [16, 24, 32], "overlap": 8, "batch_size": 1, "flips": False, "min_score": 0.5} | changes
    config = DetectConfig(**{"suppression": 0.8, **detect})
    radii = {name: RADII[name] for name in NAMES[num_classes]}
    return find_particles(tomogram, picker, radii, config, torch.device("cpu"), progress=False)


def test_of_two_peaks_nearer_than_the_suppression_radius_of_their_class_the_higher_stays() -> None:
    tomogram = tomogram_of((6, 10, 10), (6, 10, 16), heights=(5.0, 6.0))  # 60 Å apart
    for suppression, num_balls, num_shells in ((0.1, 2, 2), (0.8, 2, 1), (1.2, 1, 1)):
        found = find(tomogram, Bright(2), 2, suppression=suppression)
        assert [len(found["ball"]), len(found["shell"])] == [num_balls, num_shells], suppression
        for picks in found.values():
            assert (np.diff(picks.scores) <= 0).all()
            np.testing.assert_allclose(picks.points_xyz[0], [165, 105, 65], atol=1)


def test_candidates_are_heatmap_values_in_angstrom_within_the_tomogram() -> None:
    tomogram = tomogram_of((0, 0, 0), (16, 38, 20), (8, 20, 30), (4, 38, 48))
    picker = Bright()
    found = find(tomogram, picker)["ball"]
    order = np.argsort(found.points_xyz[:, 0])
    # The last cell of an odd axis is half outside; its centre is moved onto the last voxel.
    expected = [[5, 5, 5], [205, 385, 160], [305, 205, 85], [480, 385, 45]]
    np.testing.assert_allclose(found.points_xyz[order], expected, atol=1)
    contrast = tomogram.contrast
    height = (6.0 - contrast.centre) / contrast.scale - 2
    assert found.scores[order][2] == pytest.approx(1 / (1 + np.exp(-height)), abs=0.01)
    assert picker.sizes == {(1, 1, 16, 24, 32)}
    assert len(find(tomogram, picker, min_score=0.01)["ball"]) > len(found)
    find(tomogram, picker, batch_size=2)
    assert picker.sizes == {(1, 1, 16, 24, 32), (2, 1, 16, 24, 32)}


def test_padding_moves_candidates_and_nothing_else() -> None:
    plain = tomogram_of((6, 10, 10), (8, 20, 30))
    padded = Tomogram.from_array(np.pad(plain.read(), ((8, 3), (16, 40), (24, 7))), SPACING, polarity="bright")
    picker = Bright()
    expected, found = find(plain, picker)["ball"], find(padded, picker)["ball"]
    assert len(expected) == 2
    np.testing.assert_allclose(found.points_xyz - [240, 160, 80], expected.points_xyz, atol=1)
    np.testing.assert_allclose(found.scores, expected.scores, atol=0.02)


def test_with_flips_a_mirrored_tomogram_gives_mirrored_candidates() -> None:
    volume = np.random.default_rng(0).normal(size=(16, 32, 40)).astype(np.float32)
    points, scores = {}, {}
    for flips in (False, True):
        for name, each in {"as it is": volume, "mirrored": np.ascontiguousarray(volume[:, :, ::-1])}.items():
            found = find(Tomogram.from_array(each, SPACING), Lopsided(), tile=[16, 32, 40], flips=flips)["ball"]
            points[flips, name], scores[flips, name] = found.points_xyz, found.scores
    back = points[True, "mirrored"] * [-1, 1, 1] + [10.0 * 39, 0, 0]
    np.testing.assert_allclose(back, points[True, "as it is"], atol=0.1)
    unlike = points[False, "mirrored"] * [-1, 1, 1] + [10.0 * 39, 0, 0]
    assert unlike.shape != points[False, "as it is"].shape or np.abs(unlike - points[False, "as it is"]).max() > 10
    assert scores[True, "as it is"].min() >= 0.5 and scores[True, "as it is"].max() <= 1  # a mean, not a sum


def test_the_more_probable_pick_keeps_the_place_and_its_neighbours_of_its_own_class_stay():
    ball = Picks(np.array([[0.0, 0, 0], [300.0, 0, 0], [340.0, 0, 0]]), np.array([0.6, 0.9, 0.3]))
    shell = Picks(np.array([[69.0, 0, 0], [300.0, 71.0, 0]]), np.array([0.7, 0.99]))  # half the sum of radii: 70 Å
    kept = one_per_site({"ball": ball, "shell": shell, "none": Picks(np.zeros((0, 3)))}, {**RADII, "none": 50.0})
    assert kept["ball"].scores.tolist() == [0.9, 0.3]
    assert kept["shell"].scores.tolist() == [0.7, 0.99]
    assert len(kept["none"]) == 0


def test_candidates_stay_from_the_threshold_of_their_class_on() -> None:
    picks = Picks(np.arange(9.0).reshape(3, 3), np.array([0.9, 0.5, 0.2]))
    kept = keep_above({"ball": picks, "shell": picks}, {"ball": 0.5, "shell": 0.95})
    assert kept["ball"].points_xyz.tolist() == [[0, 1, 2], [3, 4, 5]] and kept["ball"].scores.tolist() == [0.9, 0.5]
    assert len(kept["shell"]) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(({"tile": tile}, "three multiples of 8") for tile in ([16, 16], [16, 16, 12], [16, 0, 16], [-8, 16, 16])),
        *(({"min_score": score}, "between 0 and 1") for score in (0.0, 1.0, -0.5)),
    ],
)
def test_tiles_and_scores_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find(tomogram_of(), Bright(), **changes)
