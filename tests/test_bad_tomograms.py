"""One bad tomogram among many: the others are done, the bad ones are listed at the end, with exit code 1."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embed import Index, build, query
from finetune.labels import find_labelled_runs
from pretrain.config import PretrainConfig
from pretrain.masked_crops import find_sources
from tomoseek.command_line import compose_settings
from tomoseek.complexes import Complex
from tomoseek.config import DataConfig, PicksConfig, Polarity
from tomoseek.errors import IncompleteError, InputError
from tomoseek.exchange.export_command import ExportConfig
from tomoseek.exchange.export_command import run as export
from tomoseek.failures import Failures
from tomoseek.messages import Notice
from tomoseek.picks.copick_picks import write_picks
from tomoseek.picks.points import Picks
from tomoseek.picks.tables import read_points_csv
from tomoseek.tomograms.copick_tomograms import add_tomogram, find_tomograms
from tomoseek.tomograms.project import create_project, open_project

ROOT = Path(__file__).resolve().parent.parent
SHAPE, SPACING = (32, 48, 48), 10.0
GOOD, BAD = ["b-good", "d-good"], ["a-empty", "c-constant", "e-truncated"]
POINTS = np.array([[100.0, 120.0, 150.0], [300.0, 200.0, 100.0]])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two good runs, one without a tomogram, one of zeros, one whose array is damaged; all labelled."""
    folder = tmp_path / "project"
    root = create_project(folder, [Complex(name="shell", radius_angstrom=60.0)])
    noise = np.random.default_rng(0)
    for run in GOOD + BAD[1:]:
        volume = noise.normal(size=SHAPE) if run != "c-constant" else np.zeros(SHAPE)
        add_tomogram(root, run, "wbp", SPACING, volume.astype(np.float32))
    (folder / "static" / "ExperimentRuns" / "a-empty").mkdir()
    next(folder.glob("static/ExperimentRuns/e-truncated/*/wbp.zarr/0/.zarray")).write_text("{")
    root = open_project(folder)
    for run in GOOD + BAD:
        write_picks(root, run, "shell", Picks(POINTS), "curator", "0")
    return folder


def words_of(project: Path, *more: str) -> list[str]:
    return [f"data.project={project}", "data.mask=null", *more]


def data_of(project: Path, **changes: object) -> DataConfig:
    settings = {
        "project": str(project), "runs": None, "tomogram_type": "wbp", "voxel_spacing": None,
        "polarity": Polarity.dark, **changes,
    }  # fmt: skip
    return DataConfig(**settings)


def test_bad_input_of_a_run_is_kept_and_told_at_the_end_and_other_errors_are_not_hidden() -> None:
    failures = Failures()
    failures.finish(0)
    with pytest.warns(Notice, match="run a is left out: bad"), failures.of("a"):
        raise InputError("bad")
    with pytest.raises(IncompleteError, match=r"^1 tomogram could not be read, all else is done:\n  a: bad$"):
        failures.finish(1)
    with pytest.warns(Notice), failures.of("b"):
        raise FileNotFoundError("gone")
    with pytest.raises(InputError, match=r"^2 tomograms could not be read, .*: a: bad; b: gone$"):
        failures.finish(0)
    with pytest.raises(ZeroDivisionError), failures.of("c"):
        raise ZeroDivisionError
    assert set(failures.reasons) == {"a", "b"}


@pytest.mark.filterwarnings("ignore::tomoseek.messages.Notice")
def test_runs_that_cannot_be_opened_are_left_out_when_asked_and_unknown_ones_always_stop(project: Path) -> None:
    failures = Failures()
    found = find_tomograms(data_of(project), failures)
    assert [each.run for each in found] == ["b-good", "c-constant", "d-good"]
    assert set(failures.reasons) == {"a-empty", "e-truncated"}
    with pytest.raises(InputError, match="a-empty"):
        find_tomograms(data_of(project))
    with pytest.raises(InputError, match=r"found x in data\.runs"):
        find_tomograms(data_of(project, runs=["b-good", "x"]), failures)


def test_build_embeds_the_good_ones_lists_all_bad_ones_at_once_and_exits_with_1(project: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    words = words_of(project, f"index={index}", "encoder=random-tiny", "device=cpu")

    def built(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "embed", "build", *words, *more], cwd=ROOT, capture_output=True, text=True,
            timeout=300, check=False, env={**os.environ, "TQDM_DISABLE": "1"},
        )  # fmt: skip

    first = built()
    assert first.returncode == 1, first.stdout + first.stderr
    assert "Traceback" not in first.stderr
    end = first.stderr[first.stderr.index("error: ") :]
    assert end.startswith("error: 3 tomograms could not be read, all else is done:\n")
    assert [line.split(":")[0].strip() for line in end.splitlines()[1:]] == ["a-empty", "e-truncated", "c-constant"]
    assert set(Index.open(index).entries) == set(GOOD)
    assert built("data.runs=[b-good]").returncode == 0
    nothing = built("data.runs=[a-empty,c-constant]")
    assert nothing.returncode == 2 and "a-empty: " in nothing.stderr and "c-constant: " in nothing.stderr
    unknown = built("data.runs=[b-good,x]")
    assert unknown.returncode == 2 and "found x in data.runs" in unknown.stderr


@pytest.mark.filterwarnings("ignore::tomoseek.messages.Notice")
def test_what_was_embedded_before_stays_when_its_tomogram_goes_bad(project: Path, tmp_path: Path) -> None:
    words = words_of(project, f"index={tmp_path / 'index'}", "encoder=random-tiny", "device=cpu")
    config = compose_settings("embed_build", build.BuildConfig, words)
    with pytest.raises(IncompleteError):
        build.run(config)
    next(project.glob("static/ExperimentRuns/d-good/*/wbp.zarr/0/.zarray")).write_text("{")
    with pytest.raises(IncompleteError, match="d-good"):
        build.run(config)
    assert set(Index.open(tmp_path / "index").entries) == set(GOOD)


@pytest.mark.filterwarnings("ignore::tomoseek.messages.Notice")
def test_a_query_of_several_files_searches_those_that_can_be_read(tmp_path: Path) -> None:
    import mrcfile

    for name in ("one", "two"):
        with mrcfile.new(tmp_path / f"{name}.mrc") as file:
            file.set_data(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32))
            file.voxel_size = SPACING
    (tmp_path / "bad.mrc").write_bytes((tmp_path / "one.mrc").read_bytes()[:5000])
    files = ",".join(str(tmp_path / f"{name}.mrc") for name in ("one", "bad", "two"))
    words = ["points=[[100,120,150]]", "run=one", "name=x", "radius=60", "encoder=random-tiny", "picture=false"]
    words += [f"index={tmp_path / 'index'}", f"out_dir={tmp_path / 'out'}", "data.mask=null"]
    config = compose_settings("embed_query", query.QueryConfig, [*words, f"tomogram=[{files}]"])
    with pytest.raises(IncompleteError, match=r"1 tomogram could not be read, all else is done:\n  \S*bad\.mrc: "):
        query.run(config)
    assert set(json.loads((tmp_path / "out" / "x.json").read_text())["num_picks"]) == {"one", "two"}


@pytest.mark.filterwarnings("ignore::tomoseek.messages.Notice")
def test_training_goes_on_with_the_runs_that_can_be_read(project: Path) -> None:
    anyone = PicksConfig(user_id=None, session_id=None)
    with pytest.warns(Notice, match="goes on without 3 bad tomograms: a-empty, e-truncated, c-constant"):
        runs, _ = find_labelled_runs(data_of(project), None, anyone)
    assert [run.name for run in runs] == GOOD
    with pytest.raises(InputError, match=r"2 tomograms could not be read, and there is no other: a-empty: "):
        find_labelled_runs(data_of(project, runs=BAD[:2]), None, anyone)
    words = words_of(project, "stage=masked", "half_types=null")
    with pytest.warns(Notice, match="goes on without 3 bad tomograms"):
        sources = find_sources(compose_settings("pretrain", PretrainConfig, words))
    assert [each.run for (each,) in sources] == GOOD


@pytest.mark.filterwarnings("ignore::tomoseek.messages.Notice")
def test_export_writes_the_picks_of_the_runs_that_can_be_read(project: Path, tmp_path: Path) -> None:
    words = words_of(project, f"out_dir={tmp_path / 'out'}", "formats=[csv]", "picks.user_id=curator")
    config = compose_settings("export", ExportConfig, [*words, "picks.session_id='0'"])
    with pytest.raises(IncompleteError, match=r"^2 tomograms .*\n  a-empty: .*\n  e-truncated: "):
        export(config)
    assert set(read_points_csv(tmp_path / "out" / "csv" / "picks.csv")) == {*GOOD, "c-constant"}
