"""RELION star files: written for RELION 5, read back from it and from RELION 4, in Å of copick's corner."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import starfile

from tomoseek.complexes import COMPLEXES
from tomoseek.config import DataConfig, Polarity
from tomoseek.errors import InputError
from tomoseek.picks.copick_picks import write_picks
from tomoseek.picks.points import Picks
from tomoseek.picks.star_read import read_star, run_of
from tomoseek.picks.star_write import write_star
from tomoseek.tomograms.copick_tomograms import add_tomogram, find_tomograms
from tomoseek.tomograms.project import create_project

TOMOGRAMS = {  # two shapes and spacings, so that a centre of the wrong tomogram shows
    "TS_1": SimpleNamespace(run="TS_1", shape=(20, 30, 40), voxel_spacing=10.0),
    "002": SimpleNamespace(run="002", shape=(21, 32, 44), voxel_spacing=7.5),
}
OPTICS = "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnTomoTiltSeriesPixelSize #2\n_rlnImagePixelSize #3\n"


def some_picks(seed: int = 0, num: int = 7) -> Picks:
    generator = np.random.default_rng(seed)
    return Picks(generator.uniform(0, 190, (num, 3)), generator.random(num))


def particles(columns: str, *rows: str) -> str:
    """A particle table."""
    head = [f"_rln{column} #{number}" for number, column in enumerate(columns.split(), start=1)]
    return "\n".join(["data_particles", "", "loop_", *head, *rows, ""])


def test_star_files_agree_with_copicks_own_relion_export(tmp_path: Path) -> None:
    root = create_project(tmp_path / "project", [COMPLEXES["ribosome"]])
    add_tomogram(root, "TS_1", "wbp", 10.0, np.random.default_rng(0).normal(size=(20, 30, 40)).astype(np.float32))
    picks = some_picks()
    write_picks(root, "TS_1", "ribosome", picks, "tomoseek", "finetune")
    data = DataConfig(
        project=str(tmp_path / "project"), runs=None, tomogram_type="wbp", voxel_spacing=None, polarity=Polarity.dark
    )
    path = tmp_path / "ribosome.star"
    write_star(path, [("TS_1", "ribosome", picks)], find_tomograms(data))
    table = starfile.read(path)
    theirs = root.get_run("TS_1").get_picks("ribosome")[0].df(format="relion")
    for axis in "XYZ":
        column = f"rlnCenteredCoordinate{axis}Angst"
        assert np.allclose(table[column], theirs[column], atol=1e-3)
    assert np.allclose(table["rlnAutopickFigureOfMerit"], picks.scores, rtol=1e-5)
    assert set(table["rlnTomoName"]) == {"TS_1"}


def test_one_star_file_holds_one_class(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"expected picks of one class for one star file, found apo-ferritin, ribosome"
    ):
        write_star(tmp_path / "a.star", [("A", "ribosome", some_picks()), ("A", "apo-ferritin", some_picks())], [])


def test_picks_survive_the_round_trip_through_a_star_file(tmp_path: Path) -> None:
    path = tmp_path / "ribosome.star"
    written = {"TS_1": some_picks(0), "002": some_picks(1, 3)}
    write_star(path, [(run, "ribosome", picks) for run, picks in written.items()], TOMOGRAMS.values())
    back = read_star(path, TOMOGRAMS)
    assert list(back) == ["TS_1", "002"]
    for run, picks in written.items():
        assert np.allclose(back[run].points_xyz, picks.points_xyz, atol=1e-3)
        assert np.allclose(back[run].scores, picks.scores, rtol=1e-5)
    assert list(read_star(path, TOMOGRAMS, run="002")) == ["002"]


def test_picks_survive_the_round_trip_through_a_star_file_of_relion_4(tmp_path: Path) -> None:
    path = tmp_path / "ribosome.star"
    written = {"TS_1": some_picks(0), "002": some_picks(1, 3)}
    write_star(path, [(run, "ribosome", picks) for run, picks in written.items()], TOMOGRAMS.values(), 1.54)
    back = read_star(path, TOMOGRAMS)
    for run, picks in written.items():
        assert np.allclose(back[run].points_xyz, picks.points_xyz, atol=2e-3)
        assert np.allclose(back[run].scores, picks.scores, rtol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "TS 1",
        "TS,1",
        "a, b",
        "O'Brien",
        '5"',
        "00255",
        "1_10",
        "1e3",
        "NA",
        "nan",
        "NaN",
        "null",
        "None",
        "#3",
        "a#b",
        "data_1",
        "_1",
        "Å",
    ],
)
@pytest.mark.parametrize(("relion", "pixel"), [(5, None), (4, 1.54), (3, None), (3, 2.0)])
@pytest.mark.parametrize("num", [1, 3])
def test_any_name_of_a_run_survives_the_round_trip(
    tmp_path: Path, name: str, relion: int, pixel: float | None, num: int
) -> None:
    path = tmp_path / "ribosome.star"
    tomogram = SimpleNamespace(run=name, shape=(20, 30, 40), voxel_spacing=10.0)
    written = {name: some_picks(0, num), "TS_1": some_picks(1, 3)}
    tomograms = {**TOMOGRAMS, name: tomogram}
    write_star(path, [(run, "ribosome", picks) for run, picks in written.items()], tomograms.values(), pixel, relion)
    back = read_star(path, tomograms)
    assert list(back) == [name, "TS_1"]
    for run, picks in written.items():
        assert np.allclose(back[run].points_xyz, picks.points_xyz, atol=6e-3)
    assert list(read_star(path, tomograms, run=name)) == [name]


@pytest.mark.parametrize("name", ["O'Brien 1", '5" #2', "'1'", '"1"'])
def test_a_name_that_a_star_file_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    tomogram = SimpleNamespace(run=name, shape=(20, 30, 40), voxel_spacing=10.0)
    with pytest.raises(InputError, match=r"expected names of runs without quotes .*: rename the run, or write .* CSV"):
        write_star(tmp_path / "a.star", [(name, "ribosome", some_picks())], [tomogram])
    assert not list(tmp_path.iterdir())


def test_relion_4_finds_pixels_of_the_tilt_series_in_the_first_table(tmp_path: Path) -> None:
    path = tmp_path / "ribosome.star"
    picks = Picks(np.array([[154.0, 77.0, 15.4]]), np.array([0.25]))
    write_star(path, [("TS_1", "ribosome", picks)], TOMOGRAMS.values(), 1.54)
    blocks = starfile.read(path, always_dict=True)
    assert list(blocks) == ["particles", "optics"]  # the import of RELION 4 reads the first and no other
    row = blocks["particles"].iloc[0]
    assert [row[f"rlnCoordinate{axis}"] for axis in "XYZ"] == [100, 50, 10]
    assert row["rlnAutopickFigureOfMerit"] == 0.25
    assert blocks["optics"].iloc[0]["rlnTomoTiltSeriesPixelSize"] == 1.54
    assert row["rlnOpticsGroup"] == blocks["optics"].iloc[0]["rlnOpticsGroup"]


def test_relion_4_counts_pixels_of_the_tilt_series_however_particles_were_binned(tmp_path: Path) -> None:
    path = tmp_path / "particles.star"
    columns = "TomoName CoordinateX CoordinateY CoordinateZ OpticsGroup"
    table = particles(columns, "TS_1 100 40 20 1", "002 100 40 20 2", "TS_1 0 0 1 1")
    path.write_text(OPTICS + "1 1.5 6.0\n2 2.0 8.0\n\n" + table)
    back = read_star(path, TOMOGRAMS)
    assert back["TS_1"].points_xyz.tolist() == [[150, 60, 30], [0, 0, 1.5]]
    assert back["002"].points_xyz.tolist() == [[200, 80, 40]]
    assert back["TS_1"].scores.tolist() == [1, 1]
    path.write_text(OPTICS + "1 2.0 6.0\n\n" + particles(PIXELS, "TS_1 4 5 6"))  # one group need not be named
    assert read_star(path, TOMOGRAMS)["TS_1"].points_xyz.tolist() == [[8, 10, 12]]


def test_shifts_of_a_refinement_are_taken_off_in_the_frame_of_the_subtomogram(tmp_path: Path) -> None:
    path = tmp_path / "particles.star"
    centred = "TomoName " + " ".join(f"CenteredCoordinate{axis}Angst" for axis in "XYZ")
    shifts = "OriginXAngst OriginYAngst OriginZAngst"
    path.write_text(particles(f"{centred} {shifts}", "TS_1 0 0 0 10 20 30"))
    assert read_star(path, TOMOGRAMS)["TS_1"].points_xyz.tolist() == [[200 - 10, 150 - 20, 100 - 30]]
    frame = "TomoSubtomogramRot TomoSubtomogramTilt TomoSubtomogramPsi"
    # RELION's matrix of rot = 90 takes x to -y and y to x; that of tilt = 90 takes x to z and z to -x.
    for angles, moved in (("90 0 0", [200 - 20, 150 + 10, 100 - 30]), ("0 90 0", [200 + 30, 150 - 20, 100 - 10])):
        path.write_text(particles(f"{centred} {shifts} {frame}", f"TS_1 0 0 0 10 20 30 {angles}"))
        assert np.allclose(read_star(path, TOMOGRAMS)["TS_1"].points_xyz, [moved])


def test_warp_reads_voxels_and_tomostar_names_in_one_table(tmp_path: Path) -> None:
    path = tmp_path / "ribosome.star"
    picks = Picks(np.array([[300.0, 200.0, 100.0]]), np.array([0.25]))
    write_star(path, [("TS_1", "ribosome", picks)], TOMOGRAMS.values(), relion=3)
    (table,) = starfile.read(path, always_dict=True).values()
    row = table.iloc[0] if hasattr(table, "iloc") else table
    assert path.read_text().startswith("data_\n\nloop_\n_rlnMicrographName #1\n")
    assert row["rlnMicrographName"] == "TS_1.tomostar"
    assert [row[f"rlnCoordinate{axis}"] for axis in "XYZ"] == [30, 20, 10]  # 0 is the centre of the first voxel
    assert row["rlnPixelSize"] == 10 and row["rlnDetectorPixelSize"] * 10000 / row["rlnMagnification"] == 10
    write_star(path, [("TS_1", "ribosome", picks)], TOMOGRAMS.values(), 2.5, relion=3)
    assert read_star(path, TOMOGRAMS)["TS_1"].points_xyz.tolist() == [[300, 200, 100]]
    assert " 120.000 80.000 40.000 " in path.read_text()


def test_voxels_of_two_sizes_do_not_go_into_one_file_of_relion_3(tmp_path: Path) -> None:
    rows = [(run, "ribosome", some_picks()) for run in TOMOGRAMS]
    with pytest.raises(InputError, match=r"voxels of one size .* found 7.5 to 10 Å: give the pixel size"):
        write_star(tmp_path / "a.star", rows, TOMOGRAMS.values(), relion=3)
    write_star(tmp_path / "a.star", rows[:1], TOMOGRAMS.values(), relion=3)
    write_star(tmp_path / "b.star", rows, TOMOGRAMS.values(), 5.0, relion=3)
    assert list(read_star(tmp_path / "b.star", TOMOGRAMS)) == list(TOMOGRAMS)


MICROGRAPH = "MicrographName CoordinateX CoordinateY CoordinateZ"


@pytest.mark.parametrize(
    ("columns", "values", "expected"),
    [
        ("", "", [30, 20, 10]),  # voxels of the tomogram, 10 Å
        ("PixelSize", "4", [12, 8, 4]),
        ("DetectorPixelSize", "6", [18, 12, 6]),
        ("DetectorPixelSize Magnification", "5 25000", [6, 4, 2]),  # micrometres over the magnification
        ("OriginX OriginY OriginZ", "1 -1 0.5", [20, 30, 5]),
        ("PixelSize OriginXAngst OriginYAngst OriginZAngst", "4 1 -1 0.5", [11, 9, 3.5]),
    ],
)
def test_files_of_relion_3_count_in_the_pixels_they_name(
    tmp_path: Path, columns: str, values: str, expected: list[float]
) -> None:
    path = tmp_path / "particles.star"
    text = particles(f"{MICROGRAPH} {columns}", f"tomograms/TS_1.mrc 3 2 1 {values}", f"TS_1.mrc 3 2 1 {values}")
    path.write_text(text.replace("data_particles", "data_"))
    assert np.allclose(read_star(path, TOMOGRAMS)["TS_1"].points_xyz, [expected] * 2)
    assert read_star(path, TOMOGRAMS, pixel_size=2.0)["TS_1"].points_xyz[0, 0] == pytest.approx(
        2 * (3 - ("OriginX " in columns)) - ("OriginXAngst" in columns)
    )


def test_optics_say_the_pixels_of_a_subtomogram_export(tmp_path: Path) -> None:
    path = tmp_path / "particles.star"
    optics = "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnImagePixelSize #2\n1 4\n2 5\n\n"
    path.write_text(optics + particles(f"{MICROGRAPH} OpticsGroup", "TS_1.tomostar 3 2 1 2", "002.tomostar 3 2 1 1"))
    back = read_star(path, TOMOGRAMS)
    assert back["TS_1"].points_xyz.tolist() == [[15, 10, 5]] and back["002"].points_xyz.tolist() == [[12, 8, 4]]


def test_shares_of_the_sides_are_read_as_warps_template_matching_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "matching.star"
    path.write_text(particles(MICROGRAPH, "TS_1.tomostar 0.5 0.5 0.5", "TS_1.tomostar 0.25 0.1 1"))
    with pytest.warns(UserWarning, match=r"between 0 and 1 and are taken as shares"):
        back = read_star(path, TOMOGRAMS)
    assert np.allclose(back["TS_1"].points_xyz, [[200, 150, 100], [100, 30, 200]])


@pytest.mark.parametrize(
    ("written", "run"),
    [
        ("TS_1.tomostar", "TS_1"), ("TS_1", "TS_1"), ("a/b/TS_1_10.00Apx.mrc", "TS_1"), ("TS_1.mrc.tomostar", "TS_1"),
        ("TS_1.tomostar", "TS_1_10.00Apx"), ("a\\TS_1.rec", "TS_1"), ("rec.mrc_10.00Apx", "rec.mrc_10.00Apx"),
        ("TS_1.mrc", "TS_1.mrc"), ("TS_12.mrc", None), (".mrc", None),
    ],
)  # fmt: skip
def test_files_of_a_tomogram_name_its_run(written: str, run: str | None) -> None:
    assert run_of(written, ["TS_2", *([run] if run else ["TS_1"])]) == run


def test_a_file_that_may_be_of_two_runs_is_of_none() -> None:
    assert run_of("TS_1.tomostar", ["TS_1_5.00Apx", "TS_1_10.00Apx"]) is None


PIXELS = "TomoName CoordinateX CoordinateY CoordinateZ"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"rlnTomoName.* found no table: give RELION's particles.star"),
        (particles("ImageName CoordinateX", "TS_1 4"), r"rlnTomoName or rlnMicrographName.*found data_particles"),
        (particles("MicrographName CoordinateX", "TS_1 4"), r"found rlnMicrographName, rlnCoordinateX: export"),
        (
            particles("MicrographName DetectorPixelSize", "TS_1 x"),
            r"found rlnMicrographName, rlnDetectorPixelSize: exp",
        ),
        ("data_particles\n", r"expected a star file of particles"),
        (particles("TomoName CoordinateX", "TS_1 4"), r"found rlnTomoName, rlnCoordinateX: export"),
        (
            particles(PIXELS, "TS_1 4 5 6"),
            r"rlnTomoTiltSeriesPixelSize .*as rlnCoordinateX .*found no such table: add it",
        ),
        (
            OPTICS.replace("TomoTiltSeriesPixelSize", "Voltage") + "1 300 6.0\n\n" + particles(PIXELS, "TS_1 4 5 6"),
            r"rlnTomoTiltSeriesPixelSize .*found rlnOpticsGroup, rlnVoltage, rlnImagePixelSize: add it",
        ),
        (OPTICS + "1 2 6\n2 3 6\n\n" + particles(PIXELS, "TS_1 4 5 6"), r"rlnOpticsGroup .*2 optics groups"),
        (OPTICS + "1 2 6\n\n" + particles(PIXELS, "TS_9 4 5 6"), r"among the runs 002, TS_1, found 'TS_9'"),
        (OPTICS + "1 2 6\n\n" + particles(PIXELS, "TS_1 4 x 6"), r"rlnCoordinateY .*found 'x' in particle 1"),
        (OPTICS + "1 2 6\n\n" + particles(PIXELS), r"expected at least one particle"),
        (particles(PIXELS, "TS_1 4"), r"expected a star file of particles"),
    ],
)
def test_a_bad_star_file_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "particles.star"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_star(path, TOMOGRAMS)


def test_a_missing_star_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected a star file at .*none\.star, found no such file"):
        read_star(tmp_path / "none.star", TOMOGRAMS)
