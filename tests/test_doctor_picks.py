"""The doctor names picks that cannot be right."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_doctor import SHAPE, SPACING, complaints, only, particles, pick, points_of
from test_doctor import project as project
from test_doctor import sound as sound

from tomoseek.geometry import indices_to_points

READINGS = {
    "voxels x y z": lambda points: points / SPACING,
    "z y x in Å": lambda points: points[points[:, 0] < 390][:, ::-1],
    "x y z in Å with z flipped": lambda points: points[np.abs(points[:, 2] - 195) > 60] * [1, 1, -1] + [0, 0, 390],
}


@pytest.mark.parametrize("reading", READINGS)
def test_picks_that_sit_on_nothing_are_told_with_the_reading_that_fits(project: Path, reading: str) -> None:
    pick(project, READINGS[reading](points_of(project)))
    only(complaints(project), "warning", "picks on nothing", f"read as {reading}")


def test_picks_of_another_tomogram_sit_on_nothing(project: Path) -> None:
    pick(project, indices_to_points(particles(SHAPE, 1), SPACING))
    only(complaints(project), "warning", "picks on nothing", "in no reading of their numbers")


def test_picks_in_one_corner_are_noticed(project: Path) -> None:
    points = points_of(project)
    pick(project, points[0] + np.random.default_rng(0).uniform(0, 100, (6, 3)) - points[0])
    assert "corner" in {item["check"] for item in complaints(project)}


def test_doubled_picks_are_counted(project: Path) -> None:
    points = points_of(project)
    pick(project, np.concatenate([points, points[:3] + 1.0]))
    only(complaints(project), "warning", "doubled picks", "3 pairs lie within 10 Å")


def test_a_file_of_another_name_among_picks_is_named(project: Path) -> None:
    (project / "overlay/ExperimentRuns/TS_1/Picks/.DS_Store").write_text("x")
    assert complaints(project) == []
    (project / "overlay/ExperimentRuns/TS_1/Picks/notes.json").write_text("{}")
    only(complaints(project), "warning", "files of picks", "Picks/notes.json is passed over")


def test_picks_that_cannot_be_read_or_come_from_elsewhere_are_named(project: Path) -> None:
    folder = project / "overlay/ExperimentRuns/TS_1/Picks"
    content = json.loads((folder / "anna_1_enzyme.json").read_text())
    (folder / "bob_1_enzyme.json").write_text("{")
    (folder / "carl_1_enzyme.json").write_text(json.dumps({**content, "run_name": "TS_9"}))
    (folder / "dora_1_unheard.json").write_text(json.dumps({**content, "pickable_object_name": "unheard"}))
    assert [(item["level"], item["check"]) for item in complaints(project)] == [
        ("problem", "unreadable picks"),
        ("warning", "another run"),
        ("warning", "unknown object"),
    ]
