"""Coordinates of other programs: each convention worked out by hand once, and back again."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dynamotable
import numpy as np
import pytest
from imodmodel import ImodModel

from embed.example_sources import collect_examples
from tomoseek.errors import InputError
from tomoseek.exchange.coordinate_files import Units, read_coordinates
from tomoseek.exchange.dynamo import write_dynamo
from tomoseek.exchange.eman import write_eman_json
from tomoseek.exchange.imod import write_imod
from tomoseek.geometry import points_to_voxels, voxels_to_points
from tomoseek.picks.points import Picks
from tomoseek.picks.star_write import write_star
from tomoseek.picks.tables import write_csv

TOMOGRAMS = {
    "TS_1": SimpleNamespace(run="TS_1", shape=(20, 30, 41), voxel_spacing=10.0),
    "TS 2 (bin4)": SimpleNamespace(run="TS 2 (bin4)", shape=(21, 32, 44), voxel_spacing=7.5),
    "00255": SimpleNamespace(run="00255", shape=(24, 40, 40), voxel_spacing=10.0),
}
RADII = {"ribosome": 150.0, "apo-ferritin": 60.0}
# Voxel x 3, y 2, z 1 of TS_1; its centre, counted from that of the first voxel.
POINT = np.array([[30.0, 20.0, 10.0]])


def some_picks(seed: int = 0, num: int = 7) -> Picks:
    generator = np.random.default_rng(seed)
    return Picks(generator.uniform(0, 140, (num, 3)), generator.uniform(0.1, 1, num))


def read(path: Path, **more: Any) -> dict[str | None, dict[str, Picks]]:
    return read_coordinates(path, TOMOGRAMS, **more)


def test_voxels_count_from_the_centre_of_the_first_and_corners_coincide() -> None:
    assert voxels_to_points([[3, 2, 1]], 10.0).tolist() == POINT.tolist()
    # In a volume of half the voxel size, voxel 6.5 has the same centre: (6.5 + 0.5) x 5 = (3 + 0.5) x 10.
    assert points_to_voxels(POINT, 10.0, 5.0).tolist() == [[6.5, 4.5, 2.5]]
    points = np.random.default_rng(0).uniform(-50, 500, (20, 3))
    for pixel in (None, 1.54, 13.48):
        assert np.allclose(voxels_to_points(points_to_voxels(points, 10.0, pixel), 10.0, pixel), points)


def test_dynamo_counts_from_the_corner_of_the_first_voxel(tmp_path: Path) -> None:
    path = tmp_path / "ribosome.tbl"
    write_dynamo(path, [("TS_1", "ribosome", Picks(POINT, np.array([0.25])))], TOMOGRAMS, None)
    row = dynamotable.read(str(path)).iloc[0]
    assert row[["x", "y", "z"]].tolist() == [3.5, 2.5, 1.5]
    assert (row["cc"], row["tomo"], row["apix"]) == (0.25, 1, 10)
    assert (tmp_path / "ribosome.doc").read_text() == "1 TS_1.mrc\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["ribosome.doc", "ribosome.tbl"]
    write_dynamo(path, [("TS_1", "ribosome", Picks(POINT))], TOMOGRAMS, 5.0)
    assert dynamotable.read(str(path)).iloc[0][["x", "y", "z"]].tolist() == [7, 5, 3]
    assert np.allclose(read(path, pixel_size=5.0)[None]["TS_1"].points_xyz, POINT)


def dynamo_row(x: float, y: float, z: float, tomogram: int, shift: float = 0) -> str:
    values = [0.0] * 35
    values[0], values[3:6], values[19], values[23:26] = 1, [shift, 0, 0], tomogram, [x, y, z]
    return " ".join(f"{value:g}" for value in values)


def test_shifts_of_a_dynamo_table_are_added_and_numbers_name_tomograms(tmp_path: Path) -> None:
    path = tmp_path / "table.tbl"
    path.write_text("\n".join([dynamo_row(3.5, 2.5, 1.5, 4, shift=2), dynamo_row(1, 1, 1, 7)]))
    with pytest.raises(InputError, match=r"expected a table.doc beside .* tomogram 4 is .*found none: write it"):
        read(path)
    path.with_suffix(".doc").write_text("4 /data/TS_1_10.00Apx.mrc\n7 /data/TS 2 (bin4).rec\n")
    back = read(path)[None]
    assert back["TS_1"].points_xyz.tolist() == [[50, 20, 10]] and back["TS_1"].scores.tolist() == [1]
    assert back["TS 2 (bin4)"].points_xyz.tolist() == [[3.75, 3.75, 3.75]]
    path.with_suffix(".doc").write_text("4 /data/elsewhere.mrc\n")
    with pytest.raises(InputError, match=r"found /data/elsewhere.mrc: write it, or give run"):
        read(path)
    assert list(read(path, run="TS_1")[None]) == ["TS_1"]


def test_a_dynamo_table_named_after_its_run_needs_no_list_of_tomograms(tmp_path: Path) -> None:
    path = tmp_path / "TS_1.tbl"
    path.write_text(dynamo_row(3.5, 2.5, 1.5, 0) + "\n")
    assert read(path)[None]["TS_1"].points_xyz.tolist() == POINT.tolist()


def test_imod_counts_x_and_y_from_the_corner_and_z_from_the_first_section(tmp_path: Path) -> None:
    path = tmp_path / "TS_1.mod"
    write_imod(path, {"ribosome": Picks(POINT), "apo-ferritin": some_picks()}, RADII, TOMOGRAMS["TS_1"])
    model = ImodModel.from_file(path)
    assert model.objects[0].contours[0].points.tolist() == [[3.5, 2.5, 1.0]]
    assert [each.header.name for each in model.objects] == ["ribosome", "apo-ferritin"]
    assert [each.header.pdrawsize for each in model.objects] == [15, 6]
    assert all(each.header.flags.scattered for each in model.objects)
    assert (model.header.xmax, model.header.ymax, model.header.zmax) == (41, 30, 20)
    back = read(path)
    assert back["ribosome"]["TS_1"].points_xyz.tolist() == POINT.tolist()
    assert np.allclose(back["apo-ferritin"]["TS_1"].points_xyz, some_picks().points_xyz, atol=1e-3)


def test_an_imod_model_drawn_on_a_binned_volume_is_scaled(tmp_path: Path) -> None:
    path = tmp_path / "TS_1.mod"
    write_imod(path, {"ribosome": Picks(POINT)}, RADII, TOMOGRAMS["TS_1"], 20.0)
    # (3 + 0.5) x 10 / 20 along x; the centre of section 1 lies at 1.5 x 10 / 20 - 0.5 along z
    assert ImodModel.from_file(path).objects[0].contours[0].points.tolist() == [[1.75, 1.25, 0.25]]
    assert np.allclose(read(path, pixel_size=20.0)["ribosome"]["TS_1"].points_xyz, POINT)


def test_eman2_counts_from_the_middle_voxel(tmp_path: Path) -> None:
    path = tmp_path / "TS_1_info.json"
    write_eman_json(path, {"ribosome": Picks(POINT, np.array([0.25]))}, RADII, TOMOGRAMS["TS_1"])
    info = json.loads(path.read_text())
    # The middle voxel of 41 x 30 x 20 is 20, 15, 10.
    assert info["boxes_3d"] == [[3 - 20, 2 - 15, 1 - 10, "tomoseek", 0.25, 0]]
    assert info["apix_unbin"] == 10 and info["class_list"] == {"0": {"name": "ribosome", "boxsize": 45}}
    back = read(path)["ribosome"]["TS_1"]
    assert back.points_xyz.tolist() == POINT.tolist() and back.scores.tolist() == [0.25]


def test_eman2_counts_unbinned_pixels_and_before_2018_voxels(tmp_path: Path) -> None:
    path = tmp_path / "TS_1__bin4_info.json"
    info = {"boxes_3d": [[-68, -52, -36, "manual", 0.0, 3], [0, 0, 0]], "apix_unbin": 2.5, "class_list": {}}
    path.write_text(json.dumps(info))
    # -68 pixels of 2.5 Å are -17 voxels from the middle; boxes of no named class are together.
    assert read(path)[None]["TS_1"].points_xyz.tolist() == [[30, 20, 10], [200, 150, 100]]
    path.write_text(json.dumps({"boxes_3d": [[3, 2, 1, "manual"]]}))
    assert read(path)[None]["TS_1"].points_xyz.tolist() == POINT.tolist()


def test_text_of_eman2_counts_voxels(tmp_path: Path) -> None:
    path = tmp_path / "TS_1.box"
    path.write_text("# x y z\n3 2 1\n\n3.0\t2.0\t1.0\n")
    assert read(path)[None]["TS_1"].points_xyz.tolist() == POINT.tolist() * 2


def test_tables_count_angstrom_or_voxels_and_may_name_files(tmp_path: Path) -> None:
    path = tmp_path / "clicks.csv"
    path.write_text("run,object,x,y,z,score\nTS_1_10.00Apx.mrc,ribosome,3,2,1,0.5\nTS_1,ribosome,6,4,2,1\n")
    voxels = read(path, units=Units.voxels)["ribosome"]["TS_1"]
    assert voxels.points_xyz.tolist() == [[30, 20, 10], [60, 40, 20]] and voxels.scores.tolist() == [0.5, 1]
    assert read(path)["ribosome"]["TS_1"].points_xyz[0].tolist() == [3, 2, 1]
    path = tmp_path / "TS_1.csv"
    path.write_text("x,y,z\n6.5,4.5,2.5\n")
    assert read(path, units=Units.voxels, pixel_size=5.0)[None]["TS_1"].points_xyz.tolist() == POINT.tolist()


@pytest.mark.parametrize("kind", ["csv", "relion5", "relion4", "relion3", "dynamo", "imod", "eman2"])
def test_picks_come_back_from_every_format(tmp_path: Path, kind: str) -> None:
    written = {run: some_picks(seed) for seed, run in enumerate(TOMOGRAMS)}
    rows = [(run, "ribosome", picks) for run, picks in written.items()]
    pixel = 2.0 if kind in ("relion4", "relion3", "dynamo") else None
    if kind == "csv":
        write_csv(tmp_path / "a.csv", rows)
    elif kind.startswith("relion"):
        write_star(tmp_path / "a.star", rows, TOMOGRAMS.values(), pixel, int(kind[-1]))
    elif kind == "dynamo":
        write_dynamo(tmp_path / "a.tbl", rows, TOMOGRAMS, pixel)
    for run, _, picks in rows if kind in ("imod", "eman2") else []:
        if kind == "imod":
            write_imod(tmp_path / f"{run}.mod", {"ribosome": picks}, RADII, TOMOGRAMS[run])
        else:
            write_eman_json(tmp_path / f"{run}_info.json", {"ribosome": picks}, RADII, TOMOGRAMS[run])
    back: dict[str, Picks] = {}
    for path in tmp_path.glob("*"):
        if path.suffix != ".doc":
            for by_run in read(path, pixel_size=pixel if kind == "dynamo" else None).values():
                back |= by_run
    assert set(back) == set(written)
    for run, picks in written.items():
        assert np.allclose(back[run].points_xyz, picks.points_xyz, atol=6e-3)
        assert kind == "imod" or np.allclose(back[run].scores, picks.scores, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("TS_1.mod", b"ascii", r"expected an IMOD model \(binary\)"),
        ("TS_1.mod", b"IMODV1.2" + b"\0" * 40, r"expected a whole IMOD model"),
        ("TS_1.tbl", b"1 2 3\n", r"expected a Dynamo table of 26 columns"),
        ("TS_1.tbl", b"", r"expected a Dynamo table of 26 columns"),
        ("TS_1.tbl", b"a " * 35 + b"\n", r"expected a Dynamo table of 26 columns"),
        ("TS_1_info.json", b"{", r"expected an info file of EMAN2"),
        ("TS_1_info.json", b"[]", r"expected an info file of EMAN2"),
        ("TS_1_info.json", b'{"boxes_3d": [["a", 1, 2]]}', r"expected an info file of EMAN2"),
        ("TS_1_info.json", b'{"boxes_3d": []}', r"expected at least one box"),
        ("TS_1.box", b"1 2 64 64\n", r"expected three numbers, x y z in voxels, in line 1"),
        ("TS_1.box", b"1 2 1_0\n", r"expected three numbers"),
        ("TS_1.box", b"1 2 nan\n", r"expected three numbers"),
        ("TS_1.box", b"\n", r"expected at least one point"),
        ("TS_9.box", b"1 2 3\n", r"named after one of the runs .*, found TS_9.box: rename it, or give run"),
        ("clicks.csv", b"run,x,y,z\nTS_9,1,2,3\n", r"expected runs among .*, found 'TS_9'"),
        ("clicks.csv", b"x,y,z\n1,2,3\n", r"expected a run for each point"),
        ("TS_1.pdb", b"", r"expected coordinates as .csv"),
    ],
)
def test_a_bad_file_of_coordinates_says_what_is_wrong(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(path)


def test_an_imod_model_that_claims_endless_contours_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "TS_1.mod"
    write_imod(path, {"ribosome": some_picks()}, RADII, TOMOGRAMS["TS_1"])
    content = bytearray(path.read_bytes())
    at = content.index(b"CONT") + 4
    content[at : at + 4] = (2**31 - 1).to_bytes(4, "big")
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"expected a whole IMOD model in .*, found an end too early: save it again"):
        read(path)


def test_a_search_takes_examples_of_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "TS_1.mod"
    write_imod(path, {"ribosome": Picks(POINT), "apo-ferritin": some_picks(num=2)}, RADII, TOMOGRAMS["TS_1"])
    found = collect_examples(None, TOMOGRAMS, points=None, examples=str(path), run=None, name=None)
    assert {name: {run: len(points) for run, points in each.items()} for name, each in found.items()} == {
        "ribosome": {"TS_1": 1},
        "apo-ferritin": {"TS_1": 2},
    }
    assert found["ribosome"]["TS_1"].tolist() == POINT.tolist()


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.box"
    path.write_text("3 2 1\n")
    assert read(path, run="TS_1")[None]["TS_1"].points_xyz.tolist() == POINT.tolist()
    with pytest.raises(InputError, match=r"run: expected one of 00255, TS 2 \(bin4\), TS_1, found 'TS_9'"):
        read(path, run="TS_9")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["csv", "star", "tbl", "mod", "json", "box"])
def test_damaged_files_of_coordinates_are_read_or_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    whole = tmp_path / f"TS_1.{kind}"
    rows = [("TS_1", "ribosome", some_picks())]
    if kind == "csv":
        write_csv(whole, rows)
    elif kind == "star":
        write_star(whole, rows, TOMOGRAMS.values(), relion=3)
    elif kind == "tbl":
        write_dynamo(whole, rows, TOMOGRAMS, None)
    elif kind == "mod":
        write_imod(whole, {"ribosome": some_picks()}, RADII, TOMOGRAMS["TS_1"])
    elif kind == "json":
        write_eman_json(whole, {"ribosome": some_picks()}, RADII, TOMOGRAMS["TS_1"])
    else:
        whole.write_text("3 2 1\n4 5 6\n")
    content = whole.read_bytes()
    generator = np.random.default_rng(0)
    path = tmp_path / f"damaged/TS_1.{kind}"
    path.parent.mkdir()
    refused = 0
    for _ in range(120):
        damaged = bytearray(content[: generator.integers(1, len(content) + 1)] if generator.random() < 0.3 else content)
        for _ in range(generator.integers(0, 4)):
            place = int(generator.integers(len(damaged)))
            damaged[place : place + int(generator.integers(0, 5))] = generator.bytes(int(generator.integers(0, 4)))
            damaged = damaged or bytearray(b" ")
        path.write_bytes(bytes(damaged))
        try:
            read(path)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 1500
    assert refused
