"""Picks: written for copick, CSV and RELION, and read back as they were."""

import json
from pathlib import Path
from typing import Any

import copick
import numpy as np
import pytest

from tomoseek.complexes import CHALLENGE, COMPLEXES
from tomoseek.errors import InputError
from tomoseek.picks.copick_picks import list_picks, read_picks, write_picks
from tomoseek.picks.points import Picks, check_inside
from tomoseek.picks.tables import read_objects_csv, read_points_csv, write_csv
from tomoseek.tomograms.copick_tomograms import add_tomogram
from tomoseek.tomograms.project import create_project


@pytest.fixture
def root(tmp_path: Path) -> Any:
    """A project with one run of 20 x 30 x 40 voxels at 10 Å."""
    root = create_project(tmp_path / "project", [COMPLEXES[name] for name in CHALLENGE])
    volume = np.random.default_rng(0).normal(size=(20, 30, 40)).astype(np.float32)
    add_tomogram(root, "TS_1", "wbp", 10.0, volume)
    return root


def some_picks(seed: int = 0, num: int = 7) -> Picks:
    generator = np.random.default_rng(seed)
    return Picks(generator.uniform(0, 190, (num, 3)), generator.random(num))


def test_points_and_scores_survive_the_round_trip_and_plain_copick_reads_them(root: Any, tmp_path: Path):
    written = some_picks()
    write_picks(root, "TS_1", "ribosome", written, "tomoseek", "finetune")
    back = read_picks(root, "TS_1", "ribosome", "tomoseek", "finetune")
    assert np.array_equal(back.points_xyz, written.points_xyz) and np.array_equal(back.scores, written.scores)
    plain = copick.from_file(str(tmp_path / "project" / "copick.json")).get_run("TS_1").get_picks("ribosome")[0]
    assert (plain.user_id, plain.session_id) == ("tomoseek", "finetune")
    assert [point.score for point in plain.points] == written.scores.tolist()
    assert np.array_equal(plain.numpy()[0], written.points_xyz)
    path = tmp_path / "project/overlay/ExperimentRuns/TS_1/Picks/tomoseek_finetune_ribosome.json"
    assert json.loads(path.read_text())["unit"] == "angstrom"
    assert [left.name for left in path.parent.iterdir()] == [path.name]


def test_writing_again_replaces_and_no_picks_are_picks_too(root: Any):
    write_picks(root, "TS_1", "ribosome", some_picks(num=9), "tomoseek", "finetune")
    write_picks(root, "TS_1", "ribosome", some_picks(seed=1, num=2), "tomoseek", "finetune")
    assert len(read_picks(root, "TS_1", "ribosome")) == 2
    write_picks(root, "TS_1", "ribosome", Picks(np.zeros((0, 3))), "tomoseek", "finetune")
    assert len(read_picks(root, "TS_1", "ribosome")) == 0
    assert list_picks(root, "TS_1") == [("ribosome", "tomoseek", "finetune")]


def test_reading_joins_users_and_sessions_unless_told_which(root: Any):
    write_picks(root, "TS_1", "ribosome", some_picks(0, 2), "anna", "1")
    write_picks(root, "TS_1", "ribosome", some_picks(1, 3), "tomoseek", "finetune")
    assert len(read_picks(root, "TS_1", "ribosome")) == 5
    assert len(read_picks(root, "TS_1", "ribosome", user_id="anna")) == 2
    assert len(read_picks(root, "TS_1", "ribosome", session_id="finetune")) == 3
    assert len(read_picks(root, "TS_1", "ribosome", exclude_users=("tomoseek",))) == 2
    assert len(read_picks(root, "TS_1", "thyroglobulin")) == 0


def test_real_challenge_picks_are_read_from_static_and_protected(root: Any, shared_data: Path, tmp_path: Path):
    folder = tmp_path / "project/static/ExperimentRuns/TS_1/Picks"
    folder.mkdir()
    source = shared_data / "picks/TS_5_4/ribosome.json"
    (folder / "curation_0_ribosome.json").write_bytes(source.read_bytes())
    picks = read_picks(root, "TS_1", "ribosome")
    first = json.loads(source.read_text())["points"][0]["location"]
    assert np.allclose(picks.points_xyz[0], [first["x"], first["y"], first["z"]])
    assert (picks.scores == 1).all()  # the challenge's files hold no scores
    with pytest.raises(InputError, match=r"expected new picks, found curation_0_ribosome.json in the read-only data"):
        write_picks(root, "TS_1", "ribosome", picks, "curation", "0")


def test_the_shift_in_a_points_transformation_moves_its_centre(root: Any):
    entry = root.get_run("TS_1").new_picks("ribosome", "1", "anna")
    transform = np.eye(4)[None]
    transform[0, :3, 3] = [1, 2, 3]
    entry.from_numpy(np.array([[10.0, 20.0, 30.0]]), transform)
    assert read_picks(root, "TS_1", "ribosome").points_xyz.tolist() == [[11, 22, 33]]


def test_unknown_runs_classes_and_names_copick_would_change_are_refused(root: Any):
    with pytest.raises(InputError, match=r"expected a run of the project, found 'TS_9': runs are TS_1"):
        read_picks(root, "TS_9", "ribosome")
    with pytest.raises(InputError, match=r"expected a class of the project, found 'nucleosome': its config has apo-f"):
        write_picks(root, "TS_1", "nucleosome", some_picks(), "tomoseek", "search")
    with pytest.raises(InputError, match=r"found 'my_user': use 'my-user'"):
        write_picks(root, "TS_1", "ribosome", some_picks(), "my_user", "search")


def test_damaged_picks_and_picks_in_voxels_are_refused(root: Any, tmp_path: Path):
    write_picks(root, "TS_1", "ribosome", some_picks(), "anna", "1")
    path = tmp_path / "project/overlay/ExperimentRuns/TS_1/Picks/anna_1_ribosome.json"
    whole = path.read_text()
    path.write_text(whole[:100])
    with pytest.raises(InputError, match=r"expected copick picks in anna_1_ribosome.json of run TS_1, found"):
        read_picks(root, "TS_1", "ribosome")
    path.write_text(whole.replace('"angstrom"', '"pixel"'))
    with pytest.raises(
        InputError, match=r"expected picks in Å in anna_1_ribosome.json of run TS_1, found unit 'pixel'"
    ):
        read_picks(root, "TS_1", "ribosome")


def test_picks_need_a_finite_score_each():
    with pytest.raises(InputError, match=r"found 2 points and 1 scores"):
        Picks(np.zeros((2, 3)), np.ones(1))
    with pytest.raises(InputError, match=r"expected finite coordinates and scores, found NaN"):
        Picks(np.array([[0, 0, np.nan]]))


def test_a_point_outside_is_named_and_a_point_inside_rounds_to_a_voxel():
    shape = (20, 30, 40)
    corners = np.array([[-5.0, -5.0, -5.0], [394.9, 294.9, 194.9]])
    check_inside(corners, shape, 10.0, "ribosome picks")
    check_inside(np.zeros((0, 3)), shape, 10.0, "ribosome picks")
    with pytest.raises(
        InputError,
        match=r"expected ribosome picks inside the volume, x y z from 0 to 400 300 200 Å, found 1 of 3 "
        r"outside, the first at 10\.0 20\.0 195\.0",
    ):
        check_inside(np.concatenate([corners, [[10, 20, 195]]]), shape, 10.0, "ribosome picks")


def test_csv_comes_back_by_run_and_class(tmp_path: Path):
    path = tmp_path / "picks.csv"
    rows = [
        ("TS_1", "ribosome", some_picks(0)),
        ("TS_2", "ribosome", some_picks(1)),
        ("TS_1", "apo-ferritin", some_picks(2)),
    ]
    write_csv(path, rows)
    back = read_points_csv(path, object_name="ribosome")
    assert list(back) == ["TS_1", "TS_2"]
    assert np.allclose(back["TS_2"].points_xyz, rows[1][2].points_xyz, atol=1e-3)
    assert np.allclose(back["TS_2"].scores, rows[1][2].scores, rtol=1e-5)
    assert len(read_points_csv(path)["TS_1"]) == 14
    write_csv(path, [("TS_1", "ribosome", Picks(np.zeros((0, 3))))])
    assert path.read_text() == "run,object,x,y,z,score\n"


def test_every_class_of_a_csv_comes_back_apart(tmp_path: Path):
    path = tmp_path / "picks.csv"
    rows = [("TS_1", "ribosome", some_picks(0)), ("TS_2", "actin", some_picks(1)), ("TS_2", "ribosome", some_picks(2))]
    write_csv(path, rows)
    back = read_objects_csv(path)
    assert list(back) == ["ribosome", "actin"]  # as they come in the file
    assert {name: list(runs) for name, runs in back.items()} == {"ribosome": ["TS_1", "TS_2"], "actin": ["TS_2"]}
    for run, name, picks in rows:
        assert np.allclose(back[name][run].points_xyz, picks.points_xyz, atol=1e-3)
    path.write_text("x,y,z\n1,2,3\n")
    assert read_objects_csv(path, default_run="TS_7")[None]["TS_7"].points_xyz.tolist() == [[1, 2, 3]]
    path.write_text("run,object,x,y,z\nTS_1,actin,1,2,3\nTS_1,,4,5,6\n")
    with pytest.raises(InputError, match=r"expected an object for each point in .*found none for point 2: add it"):
        read_objects_csv(path)


@pytest.mark.parametrize(
    "name",
    ["TS 1", " TS", "TS,1", "a, b", "O'Brien 1", 'a "b", c', "00255", "1_10", "1e3", "1.0", "NA", "None", "nan", "True",
     "#3", "a#b", "Å"],
)  # fmt: skip
def test_any_name_of_a_run_or_object_survives_the_round_trip(tmp_path: Path, name: str):
    path = tmp_path / "picks.csv"
    write_csv(path, [(name, "ribosome", some_picks(0)), ("TS_1", name, some_picks(1)), (name, name, some_picks(2))])
    back = read_objects_csv(path)
    assert {kind: list(runs) for kind, runs in back.items()} == {"ribosome": [name], name: ["TS_1", name]}
    assert np.allclose(back[name][name].points_xyz, some_picks(2).points_xyz, atol=1e-3)
    assert list(read_points_csv(path, object_name=name)) == ["TS_1", name]


def test_a_csv_of_plain_names_has_no_quotes_and_fixed_digits(tmp_path: Path):
    write_csv(tmp_path / "picks.csv", [("TS_1", "ribosome", Picks(np.array([[1, 2.5, 3.14159]]), np.array([1 / 3])))])
    assert (tmp_path / "picks.csv").read_text() == (
        "run,object,x,y,z,score\nTS_1,ribosome,1.000,2.500,3.142,0.333333\n"
    )


def test_challenge_submissions_and_files_of_one_run_are_read(tmp_path: Path):
    path = tmp_path / "submission.csv"
    path.write_text("id,experiment,particle_type,x,y,z\n0,TS_1,ribosome,1,2,3\n1,TS_1,thyroglobulin,4,5,6\n")
    assert read_points_csv(path, object_name="thyroglobulin")["TS_1"].points_xyz.tolist() == [[4, 5, 6]]
    path.write_text("# by hand\nx, y , z \n1, 2, 3\n")
    assert read_points_csv(path, default_run="TS_7")["TS_7"].points_xyz.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run,x,y\nTS_1,1,2\n", "expected columns run, x, y, z .* found run, x, y: add z"),
        ("x,y,z\n1,2,3\n", "found x, y, z: add run"),
        ("run,x,y,z\nTS_1,4,5,6\nTS_1,1,2,three\n", "expected numbers in .*found '1.*, 2.*, three' in point 2"),
        ("run,x,y,z\n", "expected at least one point in .*found none"),
        ("", "expected a CSV with a header"),
        ("run,object,x,y,z\nA,tubulin,1,2,3\nA,actin,1,2,3\n", "points of 'ribosome' in .*found actin, tubulin:"),
    ],
)
def test_a_bad_csv_says_what_is_wrong(tmp_path: Path, text: str, message: str):
    path = tmp_path / "points.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_points_csv(path, object_name="ribosome")


def test_a_missing_csv_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"expected a CSV of points at .*none\.csv, found no such file"):
        read_points_csv(tmp_path / "none.csv")


SEPARATED = [
    "run,x,y,z,score\nTS_1,1.5,2,3,0.5\nTS_1,4,5,6,1\n",
    "run;x;y;z;score\nTS_1;1,5;2;3;0,5\nTS_1;4;5;6;1\n",
    "run;x;y;z;score\nTS_1;1.5;2;3;0.5\nTS_1;4;5;6;\n",
    "run\tx\ty\tz\tscore\nTS_1\t1,5\t2\t3\t5e-1\nTS_1\t4\t5\t6\t1\n",
    "# a remark; with marks, of x\nRUN,X,Y,Z,Score\r\n,,,,\r\nTS_1,1.5,2,3,0.5\r\n\r\n TS_1,4,5,6, # sure\r\n",
    '"run";"x";"y";"z";"score"\n"TS_1";"1,5";"2";"3";"0,5"\n;;;;\n"TS_1";"4";"5";"6";""\n',
    "\n\nrun, x, y, z, score\nTS_1, 1.5 , 2, 3, .5\nTS_1, 4, 5, 6\n",
    "run,x,y,z,score,\nTS_1,1.5,2,3,0.5,\nTS_1,4,5,6,1,\n",
]


@pytest.mark.parametrize("text", SEPARATED)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_every_separator_and_editor_are_read(tmp_path: Path, text: str, encoding: str):
    path = tmp_path / "points.csv"
    path.write_bytes(text.encode(encoding))
    (run, picks), *others = read_points_csv(path).items()
    assert (run, others) == ("TS_1", [])
    assert picks.points_xyz.tolist() == [[1.5, 2, 3], [4, 5, 6]] and picks.scores.tolist() == [0.5, 1]


@pytest.mark.parametrize(
    "name", ["nan", "NA", "00255", "1_10", "1e3", "a, b", "a;b", "TS 1 (bin4)", "null", "True", "1,5"]
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_run_is_called_what_the_table_says(tmp_path: Path, name: str, separator: str):
    path = tmp_path / "points.csv"
    path.write_text("\n".join(separator.join(row) for row in (["run", *"xyz"], [f'"{name}"', *"123"], ["b", *"456"])))
    assert list(read_points_csv(path)) == [name, "b"]


@pytest.mark.parametrize("value", ["1_0", "0x10", "1,5", "nan", "inf", "1 000", "", "1.5.2", "１"])
def test_what_is_no_number_is_refused(tmp_path: Path, value: str):
    path = tmp_path / "points.csv"
    path.write_text(f'run,x,y,z\nTS_1,1,"{value}",3\n')
    with pytest.raises(InputError, match=r"expected numbers in .* in point 1: repair the row"):
        read_points_csv(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run,x,y,z\nTS_1,1,2,3,4\n", "expected a CSV with a header"),
        ("run,x,y,z\nTS_1,1,2,3,4,5\n", "expected a CSV with a header"),
        ("run;x;y;z\nTS_1;1.234,5;2;3\n", "found '1.234,5, 2, 3' in point 1"),
        ("run,x,y,z\n,1,2,3\n", "expected a run for each point .* point 1"),
        ("run x y z\nTS_1 1 2 3\n", "found run x y z: add run, x, y, z"),
        ("run,x,y,z,score\nTS_1,1,2,3,high\n", "found '1, 2, 3, high' in point 1"),
    ],
)
def test_a_table_that_may_be_misread_is_refused(tmp_path: Path, text: str, message: str):
    path = tmp_path / "points.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_points_csv(path)


def test_a_table_of_other_bytes_is_refused(tmp_path: Path):
    path = tmp_path / "points.csv"
    path.write_bytes(b"run,x,y,z\nTS_\xe9,1,2,3\n")
    with pytest.raises(InputError, match=r"expected a CSV in UTF-8 .* save it as CSV UTF-8"):
        read_points_csv(path)
