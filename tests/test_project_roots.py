"""Where a project's files are looked for, and what lies among them that is not copick's."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import tomoseek.messages
from tomoseek.complexes import Complex
from tomoseek.config import DataConfig, Polarity
from tomoseek.errors import InputError
from tomoseek.messages import Notice
from tomoseek.picks.copick_picks import list_picks, read_picks, write_picks
from tomoseek.picks.points import Picks
from tomoseek.tomograms.copick_tomograms import add_tomogram, find_tomograms
from tomoseek.tomograms.project import create_project, open_project

VOLUME = np.random.default_rng(0).normal(2, 3, (8, 20, 30)).astype(np.float32)
PICKS = Picks(np.array([[30.0, 40.0, 50.0]]), np.array([0.5]))
RIBOSOME = Complex(name="ribosome", radius_angstrom=150.0)


@pytest.fixture(autouse=True)
def nothing_told_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told once in a process is told in every test."""
    monkeypatch.setattr(tomoseek.messages, "_told", set())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one run, one tomogram and no picks."""
    root = create_project(tmp_path / "project", [RIBOSOME])
    add_tomogram(root, "TS_1", "wbp", 10.0, VOLUME)
    return tmp_path / "project"


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "copick.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def tomograms_of(folder: Path) -> list:
    return find_tomograms(
        DataConfig(project=str(folder), runs=None, tomogram_type="wbp", voxel_spacing=None, polarity=Polarity.dark)
    )


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.json"))


def test_a_new_overlay_elsewhere_is_made_where_the_config_says(project: Path, tmp_path: Path):
    mine = tmp_path / "mine" / "overlay"
    change_config(project, overlay_root=f"local://{mine}")
    with pytest.warns(Notice, match=r"overlay_root of .* is .*mine/overlay, which is not there yet"):
        root = open_project(project)
    assert not mine.exists()  # nothing is made by looking
    write_picks(root, "TS_1", "ribosome", PICKS, "me", "1")
    assert files_of(mine) == ["me_1_ribosome.json"] and not files_of(project / "overlay")
    assert len(read_picks(open_project(project), "TS_1", "ribosome")) == 1


def test_an_overlay_that_can_never_be_made_is_refused_and_the_one_beside_is_not_touched(project: Path, tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    change_config(project, overlay_root=f"local://{tmp_path}/file/overlay")
    with pytest.raises(
        InputError, match=r"expected a folder for picks in .*file/overlay \(overlay_root of .*is no folder"
    ):
        open_project(project)
    assert not files_of(project / "overlay")


def test_picks_that_cannot_be_written_are_one_line(project: Path):
    shutil.rmtree(project / "overlay")
    (project / "overlay").mkdir()
    (project / "overlay" / "ExperimentRuns").write_text("in the way")
    root = open_project(project)
    with pytest.raises(InputError, match=r"expected to write picks into local://.*overlay, the overlay_root of the pr"):
        write_picks(root, "TS_1", "ribosome", PICKS, "me", "1")


def test_a_tomogram_that_cannot_be_written_is_one_line(project: Path):
    (project / "static/ExperimentRuns/TS_2").write_text("in the way")
    with pytest.raises(
        InputError, match=r"expected to write a tomogram to .*TS_2/VoxelSpacing10\.000/wbp\.zarr, found"
    ):
        add_tomogram(open_project(project), "TS_2", "wbp", 10.0, VOLUME)


def test_a_moved_project_says_what_is_used_instead(project: Path, tmp_path: Path):
    shutil.move(project, tmp_path / "moved")
    with (
        pytest.warns(Notice, match=r"static_root of .* which is not there: .*moved/static is used instead"),
        pytest.warns(Notice, match=r"overlay_root of .* read from and written to .*moved/overlay instead"),
    ):
        root = open_project(tmp_path / "moved")
    assert Path(root.root_overlay) == tmp_path / "moved" / "overlay"
    assert len(tomograms_of(tmp_path / "moved")) == 1


def test_a_moved_project_keeps_an_overlay_that_is_still_there(project: Path, tmp_path: Path):
    (tmp_path / "kept").mkdir()
    change_config(project, overlay_root=f"local://{tmp_path}/kept")
    (project / "kept").mkdir()
    shutil.move(project, tmp_path / "moved")
    with pytest.warns(Notice, match=r"static_root of .*moved/static is used instead"):
        root = open_project(tmp_path / "moved")
    assert Path(root.root_overlay) == tmp_path / "kept"


def test_relative_roots_lie_beside_the_config(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    change_config(project, static_root="static", overlay_root="local://mine")
    (tmp_path / "cwd" / "static").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "cwd")
    with (
        pytest.warns(Notice, match=r"also in the working folder: .*project/static is used"),
        pytest.warns(Notice, match=r"project/mine, which is not there yet"),
    ):
        root = open_project(project)
    assert Path(root.root_static) == project / "static" and Path(root.root_overlay) == project / "mine"


def test_a_tomogram_given_as_a_project_is_told_the_way_in(tmp_path: Path, project: Path):
    (tmp_path / "tomograms").mkdir()
    (tmp_path / "tomograms" / "ts.mrc").write_bytes(bytes(2000))
    zarr = project / "static/ExperimentRuns/TS_1/VoxelSpacing10.000/wbp.zarr"
    for path in (tmp_path / "tomograms" / "ts.mrc", zarr):
        with pytest.raises(
            InputError, match=r"found the tomogram .*: make .* python -m tomoseek import 'volumes="
        ) as told:
            open_project(path)
        assert f"query tomogram={path}" in str(told.value)
    with pytest.raises(
        InputError, match=r"1 tomograms and none: .* import 'volumes=.*tomograms/\*\.mrc' out_dir=project"
    ):
        open_project(tmp_path / "tomograms")


def test_two_radii_of_one_object_are_refused(project: Path):
    objects = json.loads((project / "copick.json").read_text())["pickable_objects"]
    change_config(project, pickable_objects=[*objects, {**objects[0], "radius": 120.0}])
    with pytest.raises(
        InputError, match=r"expected one radius of 'ribosome' in .*copick\.json, found 150\.0 and 120\.0"
    ):
        open_project(project)
    change_config(project, pickable_objects=[*objects, "ribosome"])
    with pytest.raises(InputError, match=r"expected a copick config with 'pickable_objects'"):
        open_project(project)


def test_strays_among_the_files_are_passed_over(project: Path):
    root = open_project(project)
    write_picks(root, "TS_1", "ribosome", PICKS, "me", "1")
    overlay, static = (project / part / "ExperimentRuns" for part in ("overlay", "static"))
    picks = overlay / "TS_1" / "Picks"
    for name in (".DS_Store", "notes.txt", "._me_1_ribosome.json", "._x.json"):
        (picks / name).write_text("stray")
    for name in ("two_parts.json", "far_too_many_parts.json", "none.json", "_1_ribosome.json"):
        (picks / name).write_text("{}")
    (picks / "a_1_folder.json").mkdir()
    (picks / "old").mkdir()
    for folder in (overlay, static, static / "TS_1", static / "TS_1" / "VoxelSpacing10.000"):
        (folder / ".DS_Store").write_text("stray")
        (folder / "notes.txt").write_text("stray")
    (static / "TS_1" / "VoxelSpacing10.000" / "._wbp.zarr").write_text("stray")
    (static / "TS_1" / "VoxelSpacing10.000" / "ctf.zarr").write_text("a file")
    for name in ("VoxelSpacing", "VoxelSpacing10.000.bak", "VoxelSpacing7.84"):
        (static / "TS_1" / name).mkdir()
    (static / "TS_1" / "VoxelSpacing5.000").write_text("a file")
    with pytest.warns(Notice) as told:
        root = open_project(project)
        assert [run.name for run in root.runs] == ["TS_1"]
        assert list_picks(root, "TS_1") == [("ribosome", "me", "1")]
        assert [spacing.voxel_size for spacing in root.get_run("TS_1").voxel_spacings] == [10.0]
        assert len(tomograms_of(project)) == 1
    said = "\n".join(str(one.message) for one in told)
    for name in ("two_parts", "far_too_many_parts", "none", "_1_ribosome", "a_1_folder"):
        assert f"/{name}.json is passed over: expected user_session_object.json" in said
    assert "VoxelSpacing7.84 is passed over: copick reads folders called VoxelSpacing7.840" in said
    assert ".DS_Store" not in said and "notes.txt" not in said
    assert said.count("two_parts") == 1  # told once, though listed several times
