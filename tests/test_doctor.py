"""The doctor: a readable report and an honest exit code."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from tomoseek.complexes import COMPLEXES
from tomoseek.config import CONFIG_DIR, DataConfig, Polarity
from tomoseek.doctor import DoctorConfig, run
from tomoseek.picks.copick_picks import write_picks
from tomoseek.picks.points import Picks
from tomoseek.tomograms.copick_tomograms import add_tomogram
from tomoseek.tomograms.project import create_project


def config_of(folder: Path | None, **changes: object) -> DoctorConfig:
    settings: dict = {
        "project": str(folder) if folder else None, "runs": None, "tomogram_type": "wbp",
        "voxel_spacing": None, "polarity": Polarity.dark,
    }  # fmt: skip
    return DoctorConfig(data=DataConfig(**{**settings, **changes}))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """One run with dark particles and two ribosome picks inside."""
    generator = np.random.default_rng(1)
    density = np.zeros((40, 64, 64))
    density[tuple(generator.integers(4, 36, (3, 30)))] = 1
    volume = generator.normal(size=density.shape) - 150 * ndimage.gaussian_filter(density, 2)
    root = create_project(tmp_path / "project", [COMPLEXES["ribosome"]])
    add_tomogram(root, "TS_1", "wbp", 10.0, volume)
    write_picks(root, "TS_1", "ribosome", Picks(np.array([[10.0, 20, 30], [600, 600, 300]])), "anna", "1")
    return tmp_path / "project"


def test_a_sound_project_is_described_and_ends_normally(project: Path, capsys: pytest.CaptureFixture[str]):
    run(config_of(project))
    report = capsys.readouterr().out
    assert "python 3" in report and "faiss" in report and "CPU cores" in report and "memory free" in report
    assert "TS_1: 40 x 64 x 64 voxels (z y x) at 10 Å; has wbp at 10 Å" in report
    assert "protein dark as stated" in report
    assert "picks of ribosome by anna, session 1: 2 in 1 runs" in report
    assert report.endswith("No problem found\n")


def test_without_a_project_only_the_machine_is_checked(capsys: pytest.CaptureFixture[str]):
    run(config_of(None))
    assert "none given: add data.project=copick.json" in capsys.readouterr().out


def test_the_wrong_polarity_is_a_warning(project: Path, capsys: pytest.CaptureFixture[str]):
    run(config_of(project, polarity=Polarity.bright))
    assert "warning  TS_1: background" in (report := capsys.readouterr().out)
    assert "protein looks dark, stated bright" in report


def test_every_problem_is_listed_before_it_exits_with_two(project: Path, capsys: pytest.CaptureFixture[str]):
    root = create_project(project, [])
    add_tomogram(root, "TS_2", "denoised", 10.0, np.random.default_rng(0).normal(size=(8, 8, 8)))
    write_picks(root, "TS_1", "ribosome", Picks(np.array([[10.0, 20, 3000]])), "bob", "1")
    with pytest.raises(SystemExit) as stop:
        run(config_of(project))
    report = capsys.readouterr().out
    assert stop.value.code == 2
    assert "PROBLEM  expected tomogram type 'wbp' in run TS_2, found denoised at 10 Å" in report
    assert "PROBLEM  expected ribosome picks by bob, session 1, in TS_1 inside the volume" in report
    assert "2 problems to solve first" in report


def test_a_project_that_is_not_there_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        run(config_of(tmp_path / "none.json"))
    assert "expected a copick config at" in capsys.readouterr().out


def test_the_doctor_has_a_config():
    assert (CONFIG_DIR / "doctor.yaml").is_file()
