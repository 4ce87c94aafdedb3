"""The doctor is silent on a sound project, and names what is wrong with one that is broken in one way."""

import json
import shutil
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tomoseek.complexes import Complex
from tomoseek.config import DataConfig, Polarity
from tomoseek.doctor.command import DoctorConfig, run
from tomoseek.geometry import indices_to_points
from tomoseek.picks.copick_picks import write_picks
from tomoseek.picks.points import Picks
from tomoseek.tomograms.copick_tomograms import add_tomogram
from tomoseek.tomograms.project import create_project, open_project
from tomoseek.tomograms.volume_files import write_ome_zarr

SPACING, RADIUS = 10.0, 50.0
SHAPE = (40, 72, 80)
Found = list[dict[str, Any]]


def particles(shape: tuple[int, int, int], seed: int) -> NDArray[np.float64]:
    """Voxels z y x, at least ten apart and five from the faces."""
    generator = np.random.default_rng(seed)
    found: list[NDArray[np.float64]] = []
    while len(found) < 16:
        place = generator.uniform(5, np.array(shape) - 6)
        if all(np.abs(place - other).max() > 10 for other in found):
            found.append(place)
    return np.array(found)


def tomogram_of(
    places: NDArray[np.float64], shape: tuple[int, int, int], seed: int, tilt_degrees: float = 60
) -> NDArray[np.float32]:
    """Dark blobs in noise, with the missing wedge of a tilt series about y."""
    density = np.random.default_rng(seed).normal(size=shape)
    blobs = np.zeros(shape)
    blobs[tuple(np.rint(places).astype(int).T)] = -1
    density += 700 * ndimage.gaussian_filter(blobs, 2.5)
    z, _, x = np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij", sparse=True)
    measured = np.abs(z) <= np.abs(x) * np.tan(np.radians(tilt_degrees))
    return np.fft.ifftn(np.fft.fftn(density) * measured).real.astype(np.float32)


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with dark particles, and picks on them."""
    folder = tmp_path_factory.mktemp("sound") / "project"
    root = create_project(folder, [Complex(name="enzyme", radius_angstrom=RADIUS)])
    for seed, name in enumerate(("TS_1", "TS_2")):
        places = particles(SHAPE, seed)
        add_tomogram(root, name, "wbp", SPACING, tomogram_of(places, SHAPE, seed))
        write_picks(root, name, "enzyme", Picks(indices_to_points(places, SPACING)), "anna", "1")
    return folder


@pytest.fixture
def project(sound: Path, tmp_path: Path) -> Path:
    """A copy of the sound project, to be broken."""
    folder = Path(shutil.copytree(sound, tmp_path / "project"))
    change_config(folder, **{f"{part}_root": f"local://{folder / part}" for part in ("static", "overlay")})
    return folder


def settings_of(project: Path | None, runs: list[str] | None = None, mask: str = "auto") -> DataConfig:
    where = str(project) if project else None
    return DataConfig(
        project=where, runs=runs, tomogram_type="wbp", voxel_spacing=None, polarity=Polarity.dark, mask=mask
    )


def doctor(
    out_dir: Path,
    project: Path | None = None,
    tomogram: Any = None,
    runs: list[str] | None = None,
    probe: bool = False,
    mask: str = "auto",
) -> tuple[int, Found]:
    """Exit code and findings."""
    config = DoctorConfig(data=settings_of(project, runs, mask), tomogram=tomogram, out_dir=str(out_dir), probe=probe)
    code = 0
    try:
        run(config)
    except SystemExit as stop:
        code = int(str(stop.code))
    return code, json.loads((out_dir / "doctor.json").read_text())["findings"]


def complaints(project: Path) -> Found:
    """What is not fine with the project and its first run."""
    _, found = doctor(project.parent / "doctor", project, runs=["TS_1"])
    return [item for item in found if item["level"] != "fine" and item["check"] not in ("memory", "disk")]


def only(found: Found, level: str, check: str, text: str, run_name: str | None = "TS_1") -> dict[str, Any]:
    """Check that there is one complaint and no other, and return it."""
    assert [(item["level"], item["check"], item["run"]) for item in found] == [(level, check, run_name)], found
    assert text in found[0]["text"]
    return found[0]


def volume_of(project: Path) -> NDArray[np.float32]:
    import zarr

    return np.asarray(zarr.open(str(zarr_of(project)), mode="r")["0"])


def zarr_of(project: Path, run_name: str = "TS_1") -> Path:
    return project / "static" / "ExperimentRuns" / run_name / "VoxelSpacing10.000" / "wbp.zarr"


def put(project: Path, volume: NDArray[Any]) -> None:
    """Replace the voxels of TS_1."""
    shutil.rmtree(zarr_of(project))
    write_ome_zarr(zarr_of(project), volume.astype(np.float32), SPACING, "wbp")


def points_of(project: Path) -> NDArray[np.float64]:
    """Points of the picks of TS_1."""
    return indices_to_points(particles(SHAPE, 0), SPACING)


def pick(project: Path, points: NDArray[np.float64]) -> None:
    """Replace the picks of TS_1."""
    write_picks(open_project(project), "TS_1", "enzyme", Picks(points), "anna", "1")


def change_config(project: Path, **changes: Any) -> None:
    path = project / "copick.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_sound_project_is_described_without_a_complaint(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = doctor(project.parent / "doctor", project)
    report = capsys.readouterr().out
    assert code == 0
    assert [item for item in found if item["run"] and item["level"] != "fine"] == []
    assert "python 3" in report and "faiss" in report and "CPU cores" in report and "memory free" in report
    assert "TS_1: 40 x 72 x 80 voxels (z y x) at 10 Å" in report
    assert "protein dark as stated" in report
    assert "TS_2: the missing wedge lies along z, as it should" in report
    assert "picks of enzyme by anna, session 1: 32 in 2 runs" in report
    assert report.endswith("No problem found\n")


def test_without_a_project_only_the_machine_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(tmp_path)[0] == 0
    assert "none given: add data.project=copick.json, or tomogram=file.mrc" in capsys.readouterr().out


def test_a_project_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    code, found = doctor(tmp_path, tmp_path / "none.json")
    assert code == 2
    assert any(item["level"] == "problem" and "expected a copick config at" in item["text"] for item in found)


def test_every_problem_is_listed_before_it_exits_with_two(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = open_project(project)
    add_tomogram(root, "TS_3", "denoised", 10.0, np.random.default_rng(0).normal(size=(8, 8, 8)))
    write_picks(root, "TS_1", "enzyme", Picks(np.array([[10.0, 20, 3000]])), "bob", "1")
    code, _ = doctor(project.parent / "doctor", project)
    report = capsys.readouterr().out
    assert code == 2
    assert "PROBLEM  expected tomogram type 'wbp' in run TS_3, found denoised at 10 Å" in report
    assert "PROBLEM  expected enzyme picks by bob, session 1, in TS_1 inside the volume" in report
    assert "2 problems to solve first" in report


def test_files_are_examined_without_a_project(tmp_path: Path) -> None:
    paths = []
    for seed, spacing in ((0, 10.0), (1, 1.0)):
        paths.append(str(tmp_path / f"tomo_{seed}.mrc"))
        with mrcfile.new(paths[-1]) as file:
            file.set_data(tomogram_of(particles(SHAPE, seed), SHAPE, seed))
            file.voxel_size = spacing
    code, found = doctor(tmp_path / "doctor", tomogram=paths)
    assert code == 0
    assert {item["run"] for item in found if item["run"]} == {"tomo_0", "tomo_1"}
    only([item for item in found if item["run"] and item["level"] != "fine"], "warning", "header", "1 Å", "tomo_1")


def test_voxels_too_coarse_for_the_encoder_are_told(tmp_path: Path) -> None:
    path = tmp_path / "coarse.mrc"
    with mrcfile.new(path) as file:
        file.set_data(tomogram_of(particles(SHAPE, 0), SHAPE, 0))
        file.voxel_size = 17.0
    code, found = doctor(tmp_path / "doctor", tomogram=str(path))
    assert code == 0
    told = [item for item in found if item["check"] == "spacing"]
    only(told, "warning", "spacing", "voxels of 17 Å lack detail that the encoder learned from at 10 Å", "coarse")


def test_a_nan_anywhere_is_found_with_its_place(project: Path) -> None:
    volume = volume_of(project)
    volume[17, 30, 41] = np.nan
    volume[17, 30, 42] = np.inf
    put(project, volume)
    found = only(complaints(project), "warning", "NaN", "NaN or infinite voxels: 2, the first at z y x 17 30 41")
    assert found["numbers"] == {"num_bad": 2, "first_bad_zyx": [17, 30, 41]}


def test_hot_voxels_are_counted_and_a_gold_bead_is_none(project: Path) -> None:
    volume = volume_of(project)
    volume[10:16, 20:26, 30:36] = -1e4
    put(project, volume)
    assert complaints(project) == []
    volume.ravel()[np.arange(10) * 20011] = 1e30
    put(project, volume)
    assert only(complaints(project), "warning", "hot voxels", "10 single voxels")["numbers"] == {"num_hot": 10}


def test_a_volume_that_is_mostly_padding_is_noticed(project: Path) -> None:
    put(project, np.pad(volume_of(project), [(24, 24), (8, 8), (8, 8)]))
    pick(project, points_of(project) + SPACING * np.array([8, 8, 24]))
    assert only(complaints(project), "warning", "blank", "of the voxels are blank")["numbers"]["blank_share"] > 0.5


def test_clipped_values_are_noticed(project: Path) -> None:
    put(project, np.maximum(volume_of(project), np.percentile(volume_of(project), 2)))
    only(complaints(project), "warning", "clipped", "2.0% of the voxels have the least value")


def test_inverted_contrast_is_noticed_in_values_and_at_picks(project: Path) -> None:
    put(project, -volume_of(project))
    found = complaints(project)
    assert [(item["level"], item["check"]) for item in found] == [
        ("warning", "polarity"),
        ("warning", "picks on nothing"),
    ]
    assert "protein looks bright, stated dark" in found[0]["text"]
    assert "is the polarity the other one" in found[1]["text"]


@pytest.mark.parametrize(("order", "axis"), [((1, 0, 2), "y"), ((2, 1, 0), "x")])
def test_swapped_axes_are_told_from_the_missing_wedge(project: Path, order: tuple[int, int, int], axis: str) -> None:
    put(project, volume_of(project).transpose(order))
    pick(project, np.zeros((0, 3)))
    text = f"the missing wedge lies along {axis}, and {axis} is the thinnest axis"
    only(complaints(project), "warning", "axes", text)


def test_a_volume_that_is_longest_along_the_beam_is_noticed(project: Path) -> None:
    put(project, np.concatenate([volume_of(project)] * 3))
    only(complaints(project), "warning", "axes", "z is the longest axis (120 voxels, y 72, x 80)")


def test_a_wedge_that_is_filled_is_told_and_no_fault(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(project, tomogram_of(particles(SHAPE, 0), SHAPE, 0, tilt_degrees=90))
    assert complaints(project) == []
    assert "TS_1: no missing wedge is seen" in capsys.readouterr().out


def test_two_objects_of_one_name_and_absent_radii_are_named(project: Path) -> None:
    entry = json.loads((project / "copick.json").read_text())["pickable_objects"][0]
    change_config(project, pickable_objects=[entry, {**entry, "name": "rod", "label": 2, "radius": None}])
    only(complaints(project), "warning", "objects", "no radius: rod", None)
    change_config(project, pickable_objects=[entry, {**entry, "label": 2, "radius": 90}])
    only(complaints(project), "problem", "project", "expected one radius of 'enzyme'", None)
    change_config(project, pickable_objects=[entry, entry])
    only(complaints(project), "warning", "objects", "enzyme is named 2 times under pickable_objects", None)


def test_an_overlay_that_is_not_there_or_cannot_be_written_is_named(project: Path) -> None:
    change_config(project, overlay_root=f"local://{project / 'picks'}")
    only(complaints(project), "warning", "project", "which is not there yet", None)
    change_config(project, overlay_root="local:///proc/self")
    only(complaints(project), "warning", "overlay", "/proc/self is not writable: picks cannot be stored there", None)


def test_picks_outside_the_part_that_counts_are_counted(project: Path) -> None:
    root = open_project(project)
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[:, :, :40] = 1
    root.get_run("TS_1").new_segmentation(SPACING, "cell", "0", True, "anna").from_numpy(mask)
    _, found = doctor(project.parent / "doctor", project, runs=["TS_1"], mask="cell")
    outside = int((points_of(project)[:, 0] > 395).sum())
    wrong = [item for item in found if item["run"] and item["level"] != "fine"]
    only(wrong, "warning", "picks elsewhere", f"{outside} of 16 lie outside the segmentation cell")
    assert any(item["check"] == "part" and "only the segmentation cell counts" in item["text"] for item in found)
