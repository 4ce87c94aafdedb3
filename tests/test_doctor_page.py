"""The doctor's page and its summary of many runs."""

from dataclasses import replace
from pathlib import Path

import mrcfile
import pytest
from test_doctor import RADIUS, SHAPE, SPACING, doctor, particles, settings_of, tomogram_of
from test_doctor import sound as sound

from tomoseek.doctor.examination import examine
from tomoseek.doctor.findings import Finding, Level, summary
from tomoseek.doctor.probe import resampled_shape, voxels_of_tiles
from tomoseek.doctor.report import Report
from tomoseek.doctor.subjects import Subjects


def test_the_page_needs_nothing_else_and_shows_each_tomogram_with_its_name_escaped(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{name}.mrc") for name in ("<script>alert(1)<", "b&b")]
    for path in paths:
        with mrcfile.new(path) as file:
            file.set_data(tomogram_of(particles(SHAPE, 0), SHAPE, 0))
            file.voxel_size = SPACING
    doctor(tmp_path / "doctor", tomogram=paths)
    page = (tmp_path / "doctor" / "doctor.html").read_text()
    assert "<script" not in page and "&lt;script&gt;alert(1)&lt;" in page and "b&amp;b" in page
    assert page.count('src="data:image/jpeg;base64,') == page.count("src=") == 2
    assert "http" not in page


def test_findings_of_many_runs_are_told_in_few_lines() -> None:
    found = [Finding(Level.warning, "blank", f"{k} % blank", f"run{k:03d}") for k in range(500)]
    found += [
        Finding(Level.problem, "tomogram", "cannot be read", "run007"),
        Finding(Level.fine, "shape", "ok", "run1"),
    ]
    lines = summary(found)
    assert lines[:2] == ["PROBLEM  run007: cannot be read", "warning  run000: 0 % blank"]
    assert len(lines) == 7
    assert lines[-1].startswith("warning  blank: 495 more in 495 runs: run005, run006,")


def test_of_many_runs_only_some_are_pictured_and_the_page_says_so(sound: Path, tmp_path: Path) -> None:
    subjects = Subjects(settings_of(sound))
    assert [finding.level for finding in subjects.findings()] == [Level.fine] * 2
    seen = examine(subjects, "TS_1")
    report = Report(first_drawn=2, most_drawn=3)
    for k in range(5):
        wrong = [Finding(Level.warning, "blank", "half of it", seen.name)] if k >= 3 else []
        report.add(replace(seen, name=f"run{k}", findings=wrong), {"enzyme": RADIUS})
    assert [run.picture is not None for run in report.runs] == [True, True, False, True, False]
    page = report.write(tmp_path, "a test").read_text()
    assert "3 of 5 runs are pictured: the first 2" in page


def test_time_memory_and_disk_of_the_next_steps_are_forecast_from_a_probe(tmp_path: Path) -> None:
    path = tmp_path / "tomo.mrc"
    with mrcfile.new(path) as file:
        file.set_data(tomogram_of(particles(SHAPE, 0), SHAPE, 0))
        file.voxel_size = SPACING
    _, found = doctor(tmp_path / "doctor", tomogram=str(path), probe=True)
    steps = {item["text"].partition(":")[0]: item["numbers"] for item in found if item["check"] == "forecast"}
    assert set(steps) == {"embed build", "finetune train", "finetune predict"}
    assert steps["embed build"]["disk_gb"] == pytest.approx(10 * 18 * 20 * 109 / 1e9)
    assert steps["finetune train"]["seconds"] > steps["embed build"]["seconds"] > 0
    assert "How long the next steps will take" in (tmp_path / "doctor" / "doctor.html").read_text()


def test_a_forecast_counts_tiles_with_their_overlap_at_the_spacing_of_the_encoder() -> None:
    # 200 voxels take three tiles of 96 that share 16 or more; 60 voxels at 20 Å become 120, which take two.
    assert voxels_of_tiles([(96, 96, 200)], (96, 96, 96), 16) == 3 * 96**3
    assert voxels_of_tiles([resampled_shape((60, 48, 48), 20.0, "auto", 10.0)], (96, 96, 96), 16) == 2 * 96**3
