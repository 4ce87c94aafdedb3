"""Files of a lab become a copick project by one command, and picks leave it by another."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from tomoseek.command_line import compose_settings
from tomoseek.errors import InputError
from tomoseek.exchange import export_command, import_command
from tomoseek.exchange.export_command import ExportConfig
from tomoseek.exchange.import_command import ImportConfig
from tomoseek.exchange.volume_names import find_volumes, run_name
from tomoseek.picks.copick_picks import read_picks
from tomoseek.tomograms.project import open_project
from tomoseek.tomograms.volume_files import write_ome_zarr


def volume(seed: int = 0, shape: tuple[int, int, int] = (17, 32, 33)) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def put_mrc(path: Path, values: NDArray[Any], spacing: float = 10.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path) as file:
        file.set_data(values)
        file.voxel_size = spacing


def do_import(*words: str) -> None:
    import_command.run(compose_settings("import", ImportConfig, words))


def do_export(*words: str) -> None:
    export_command.run(compose_settings("export", ExportConfig, words))


def stored(project: Path, run: str, kind: str = "wbp", spacing: str = "10.000", level: int = 0) -> NDArray[Any]:
    path = project / f"static/ExperimentRuns/{run}/VoxelSpacing{spacing}/{kind}.zarr"
    values: NDArray[Any] = zarr.open(str(path), mode="r")[str(level)][:]
    return values


def runs_of(project: Path) -> list[str]:
    return sorted(run.name for run in open_project(project).runs)


def test_files_of_every_kind_become_tomograms_of_their_runs(tmp_path: Path) -> None:
    put_mrc(tmp_path / "in/TS_1.mrc", volume(1))
    put_mrc(tmp_path / "in/1_10.rec", (volume(2) * 20).astype(np.int8))
    tifffile.imwrite(tmp_path / "in/TS 3 (bin4).tif", volume(3))
    (tmp_path / "in/TS_4.zarr").mkdir()
    write_ome_zarr(tmp_path / "in/TS_4.zarr", volume(4), 10.0, "wbp")
    project = tmp_path / "project"
    do_import(f"volumes={tmp_path}/in/*", f"out_dir={project}", "voxel_spacing=10")
    assert runs_of(project) == ["1_10", "TS 3 (bin4)", "TS_1", "TS_4"]
    assert np.array_equal(stored(project, "TS_1"), volume(1))
    assert np.array_equal(stored(project, "1_10"), (volume(2) * 20).astype(np.int8))
    assert np.array_equal(stored(project, "TS 3 (bin4)"), volume(3))
    assert np.array_equal(stored(project, "TS_4"), volume(4))


def test_a_folder_stands_for_the_volumes_in_it(tmp_path: Path) -> None:
    put_mrc(tmp_path / "in/b.rec", volume())
    put_mrc(tmp_path / "in/a.mrc", volume())
    (tmp_path / "in/notes.txt").write_text("tilted")
    (tmp_path / "in/._a.mrc").write_text("of another system")
    assert [each.run for each in find_volumes(f"{tmp_path}/in", None, "wbp", [])] == ["a", "b"]
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"volumes: expected volumes in the folder .*none, found none"):
        find_volumes(f"{tmp_path}/none", None, "wbp", [])


def test_halves_are_told_apart_by_pattern_and_are_no_whole_tomograms(tmp_path: Path) -> None:
    for number in (1, 2):
        put_mrc(tmp_path / f"in/TS_{number}_rec.mrc", volume(number))
        for seed, half in enumerate(("even", "odd"), start=10):
            put_mrc(tmp_path / f"in/TS_{number}_{half}.mrc", volume(number + seed))
    project = tmp_path / "project"
    words = f"volumes={tmp_path}/in/*.mrc", f"halves={tmp_path}/in/*_{{even,odd}}.mrc", "strip=[_rec]"
    do_import(*words, f"out_dir={project}")
    assert runs_of(project) == ["TS_1", "TS_2"]
    assert np.array_equal(stored(project, "TS_2", "wbp-odd"), volume(13))
    assert np.array_equal(stored(project, "TS_1", "wbp-even"), volume(11))
    (tmp_path / "in/TS_2_odd.mrc").unlink()
    with pytest.raises(InputError, match=r"both halves of each run, found one alone of TS_2"):
        do_import(*words, f"out_dir={project}")


def test_halves_may_lie_in_folders_of_their_own(tmp_path: Path) -> None:
    for place in ("EVN/TS_1.mrc", "ODD/TS_1.mrc", "TS_2/vol_1.mrc", "TS_2/vol_2.mrc"):
        put_mrc(tmp_path / place, volume())
    found = find_volumes(None, f"{tmp_path}/{{EVN,ODD}}/*.mrc", "wbp", [])
    assert [(each.run, each.tomogram_type) for each in found] == [("TS_1", "wbp-evn"), ("TS_1", "wbp-odd")]
    found = find_volumes(None, f"{tmp_path}/*/vol_{{1,2}}.mrc", "wbp", [])
    assert [(each.run, each.tomogram_type) for each in found] == [("TS_2", "wbp-1"), ("TS_2", "wbp-2")]


@pytest.mark.parametrize(
    ("stem", "strip", "run"),
    [
        ("TS_1_rec", [], "TS_1_rec"),
        ("TS_1_rec", ["common"], "TS_1"),
        ("TS_1_10.00Apx", ["common"], "TS_1"),
        ("TS_1.mrc_13.48Apx", ["common"], "TS_1"),
        ("TS_1_full_rec_bin4", ["common"], "TS_1"),
        ("Position_2_3_rec", ["common"], "Position_2_3"),
        ("TS_1_deconv", ["_deconv"], "TS_1"),
        ("rec", ["rec", "common"], "rec"),
    ],
)
def test_endings_are_stripped_on_request(stem: str, strip: list[str], run: str) -> None:
    assert run_name(stem, strip) == run


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_mrc(tmp_path / "in/a.mrc", volume())
    (tmp_path / "in/b.mrc").write_bytes(b"no volume")
    put_mrc(tmp_path / "in/c.mrc", volume(), spacing=0)
    put_mrc(tmp_path / "in/d.mrc", volume(1))
    with pytest.raises(SystemExit) as left:
        do_import(f"volumes={tmp_path}/in/*.mrc", f"out_dir={tmp_path}/project")
    assert left.value.code == 1
    assert runs_of(tmp_path / "project") == ["a", "d"]
    told = capsys.readouterr().err.splitlines()
    assert told[-3] == "2 of 4 files were not imported:"
    assert "b.mrc: expected an MRC header" in told[-2] and "c.mrc: expected a voxel spacing" in told[-1]


def test_a_given_spacing_wins_over_the_header(tmp_path: Path) -> None:
    put_mrc(tmp_path / "a.mrc", volume(), spacing=1.0)
    with pytest.warns(UserWarning, match=r"says 1 Å per voxel"):
        do_import(f"volumes={tmp_path}/a.mrc", f"out_dir={tmp_path}/one")
    do_import(f"volumes={tmp_path}/a.mrc", f"out_dir={tmp_path}/other", "voxel_spacing=13.48")
    assert np.array_equal(stored(tmp_path / "other", "a", spacing="13.480"), volume())


def test_what_is_there_is_kept_and_never_replaced_by_another_volume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_mrc(tmp_path / "a.mrc", volume())
    words = f"volumes={tmp_path}/a.mrc", f"out_dir={tmp_path}/project"
    do_import(*words)
    folder = tmp_path / "project/static/ExperimentRuns/a/VoxelSpacing10.000"
    before = (folder / "wbp.zarr/0/.zarray").stat().st_mtime_ns
    (folder / ".wbp-killed").mkdir()
    do_import(*words)
    assert (folder / "wbp.zarr/0/.zarray").stat().st_mtime_ns == before
    assert "a/wbp: kept, 17 x 32 x 33 voxels z y x at 10 Å" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        do_import(*words, "voxel_spacing=5")
    assert "expected no other wbp of run a in the project, found one of 17 x 32 x 33" in capsys.readouterr().err
    (tmp_path / "a.mrc").unlink()
    put_mrc(tmp_path / "a.mrc", volume(shape=(16, 32, 32)))
    with pytest.raises(SystemExit):
        do_import(*words)
    do_import(*words, "tomogram_type=denoised")
    assert stored(tmp_path / "project", "a", "denoised").shape == (16, 32, 32)


def test_a_killed_import_shows_no_half_written_tomogram_and_goes_on(tmp_path: Path) -> None:
    for number in range(4):
        put_mrc(tmp_path / f"in/{number}.mrc", volume(number, (64, 200, 200)))
    words = f"volumes={tmp_path}/in/*.mrc", f"out_dir={tmp_path}/project"
    started = subprocess.Popen([sys.executable, "-m", "tomoseek", "import", *words], stdout=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "project").glob("static/ExperimentRuns/1/*/.wbp-*")):
            assert time.monotonic() < deadline and started.poll() is None
            time.sleep(0.002)
    finally:
        started.send_signal(signal.SIGKILL)
        started.communicate()
    for path in (tmp_path / "project").glob("static/ExperimentRuns/*/*/*.zarr"):
        assert np.array_equal(stored(tmp_path / "project", path.parts[-3]), volume(int(path.parts[-3]), (64, 200, 200)))
    do_import(*words)
    assert runs_of(tmp_path / "project") == ["0", "1", "2", "3"]
    for number in range(4):
        assert np.array_equal(stored(tmp_path / "project", str(number)), volume(number, (64, 200, 200)))
    assert list((tmp_path / "project").glob("static/ExperimentRuns/*/*/.wbp-*")) == []


def test_levels_of_a_volume_taller_than_a_slab_are_means(tmp_path: Path) -> None:
    values = volume(0, (261, 5, 4))
    put_mrc(tmp_path / "a.mrc", values)
    do_import(f"volumes={tmp_path}/a.mrc", f"out_dir={tmp_path}/project")
    padded = np.pad(values, [(0, 1), (0, 1), (0, 0)], mode="edge")
    expected = padded.reshape(131, 2, 3, 2, 2, 2).mean(axis=(1, 3, 5))
    assert np.allclose(stored(tmp_path / "project", "a", level=1), expected, atol=1e-6)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("TS_1", "00255"):
        put_mrc(tmp_path / f"in/{name}.mrc", volume(shape=(20, 30, 41)))
    do_import(f"volumes={tmp_path}/in/*.mrc", f"out_dir={tmp_path}/project")
    return tmp_path / "project"


def test_picks_come_along_leave_and_come_back(project: Path, tmp_path: Path) -> None:
    clicks = tmp_path / "clicks.csv"
    clicks.write_text("run;object;x;y;z\nTS_1;ribosome;3,5;2;1\nTS_1;ribosome;30;20;10\n00255;actin;4;5;6\n")
    do_import(f"picks={clicks}", f"out_dir={project}", "units=voxels", "radius={actin: 40, ribosome: 150}")
    root = open_project(project)
    assert read_picks(root, "TS_1", "ribosome", "imported", "0").points_xyz.tolist() == [[35, 20, 10], [300, 200, 100]]
    assert read_picks(root, "00255", "actin", "imported", "0").points_xyz.tolist() == [[40, 50, 60]]
    assert {item.name: item.radius for item in root.pickable_objects} == {"actin": 40, "ribosome": 150}
    out = tmp_path / "out"
    formats = "csv,relion5,relion4,relion3,dynamo,imod,eman2"
    do_export(f"data.project={project}", f"formats=[{formats}]", "pixel_size=2", f"out_dir={out}")
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.*")) == [
        "csv/picks.csv", "dynamo/actin.doc", "dynamo/actin.tbl", "dynamo/ribosome.doc", "dynamo/ribosome.tbl",
        "eman2/00255_info.json", "eman2/TS_1_info.json", "imod/00255.mod", "imod/TS_1.mod", "relion3/actin.star",
        "relion3/ribosome.star", "relion4/actin.star", "relion4/ribosome.star", "relion5/actin.star",
        "relion5/ribosome.star",
    ]  # fmt: skip
    for kind, files in {"csv": "picks.csv", "imod": "*.mod", "eman2": "*.json", "dynamo": "*.tbl"}.items():
        own = (
            ["name=ribosome", f"picks={out}/{kind}/ribosome.tbl"]
            if kind == "dynamo"
            else [f"picks={out}/{kind}/{files}"]
        )
        more = ["pixel_size=2"] if kind in ("imod", "dynamo") else []
        do_import(*own, *more, f"out_dir={project}", f"owner.user_id={kind}")
        back = read_picks(open_project(project), "TS_1", "ribosome", kind, "0")
        assert np.allclose(back.points_xyz, [[35, 20, 10], [300, 200, 100]], atol=5e-3), kind
    for number in (5, 4, 3):
        star = f"picks={out}/relion{number}/ribosome.star"
        do_import(star, "name=ribosome", f"out_dir={project}", f"owner.user_id=relion{number}")
        back = read_picks(open_project(project), "TS_1", "ribosome", f"relion{number}", "0")
        assert np.allclose(back.points_xyz, [[35, 20, 10], [300, 200, 100]], atol=5e-3)


def test_picks_in_other_units_are_refused_and_a_few_outside_are_left_out(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clicks = tmp_path / "clicks.csv"
    words = f"picks={clicks}", f"out_dir={project}", "name=ribosome", "radius=150"
    rows = "\n".join(f"TS_1,{x},20,10" for x in range(11))
    clicks.write_text(f"run,x,y,z\n{rows}\nTS_1,3,2000,1\n")
    with pytest.warns(UserWarning, match=r"1 of 12 picks of run TS_1 in .* lie outside the volume and are left out"):
        do_import(*words)
    assert len(read_picks(open_project(project), "TS_1", "ribosome")) == 11
    clicks.write_text("run,x,y,z\nTS_1,350,200,100\n")
    with pytest.raises(SystemExit):
        do_import(*words, "units=voxels")
    assert "1 of 1 outside, the first at 3500.0 2000.0 1000.0: give x y z in Å" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"expected volumes=..., halves=... or picks=... to import"),
        (["volumes=nowhere/*.mrc"], r"volumes: expected files at nowhere/\*.mrc, found none"),
        (["halves=rec/*.mrc"], r"halves: expected a pattern with a star and the two words"),
        (["volumes=a.mrc", "voxel_spacing=-1"], r"voxel_spacing=-1.0: expected Å per voxel, more than 0"),
        (["volumes=a.mrc", "tomogram_type=my_type"], r"expected a tomogram type without .* use 'my-type'"),
        (["volumes=a.mrc", "owner.user_id=null"], r"owner: expected a user_id and a session_id"),
        (["volumes=a.mrc", "owner.user_id=my_name"], r"expected a owner.user_id without .* use 'my-name'"),
    ],
)
def test_a_bad_setting_of_import_is_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        do_import(*words, f"out_dir={tmp_path}/project")
    assert not list(tmp_path.iterdir())


def test_two_files_of_one_run_are_refused(tmp_path: Path) -> None:
    for name in ("a.mrc", "a.rec"):
        put_mrc(tmp_path / name, volume())
    with pytest.raises(InputError, match=r"one file for each run, found several for wbp of run 'a': .*a.mrc, .*a.rec"):
        do_import(f"volumes={tmp_path}/a.*", f"out_dir={tmp_path}/project")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["formats=[relion6]"], r"formats: expected some of csv, .*, found relion6"),
        (["formats=[relion4]"], r"pixel_size: expected Å per pixel of the unbinned tilt series"),
        ([], r"expected picks of user anyone, session any in .*, found none"),
        (["picks.session_id=1e3"], r"expected picks of user anyone, session 1e3 in"),
    ],
)
def test_a_bad_setting_of_export_is_one_line(project: Path, tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        do_export(f"data.project={project}", f"out_dir={tmp_path}/out", *words)
    assert not (tmp_path / "out").exists()
