"""Tomograms: lazy, padded, and clear about what is missing."""

import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import copick
import numpy as np
import pytest
import zarr
from copick.util.ome import get_voxel_size_from_zarr

from tomoseek.complexes import CHALLENGE, COMPLEXES, Complex
from tomoseek.config import DataConfig, Polarity
from tomoseek.errors import InputError
from tomoseek.tomograms.copick_tomograms import add_tomogram, find_tomograms
from tomoseek.tomograms.project import create_project, ensure_object, object_radii, open_project


def volume_of(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(2.0, 3.0, shape).astype(np.float32)


def data_of(folder: Path, **changes: object) -> DataConfig:
    settings: dict = {
        "project": str(folder), "runs": None, "tomogram_type": "wbp", "voxel_spacing": None,
        "polarity": Polarity.dark,
    }  # fmt: skip
    return DataConfig(**{**settings, **changes})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with runs TS_1 (two types) and TS_2 (one)."""
    folder = tmp_path / "project"
    root = create_project(folder, [COMPLEXES[name] for name in CHALLENGE])
    add_tomogram(root, "TS_2", "wbp", 10.0, volume_of((20, 70, 90), 2))
    add_tomogram(root, "TS_1", "wbp", 10.0, volume_of((20, 70, 90), 1))
    add_tomogram(root, "TS_1", "denoised", 10.0, volume_of((20, 70, 90), 3))
    return folder


def test_what_is_added_is_read_back_by_us_and_by_plain_copick(project: Path):
    tomograms = find_tomograms(data_of(project))
    assert [tomogram.run for tomogram in tomograms] == ["TS_1", "TS_2"]
    assert tomograms[0].shape == (20, 70, 90) and tomograms[0].voxel_spacing == 10.0
    assert np.array_equal(tomograms[0].read(), volume_of((20, 70, 90), 1))
    run = copick.from_file(str(project / "copick.json")).get_run("TS_1")
    entry = run.get_voxel_spacing(10.0).get_tomograms("wbp")[0]
    assert np.array_equal(entry.numpy(), volume_of((20, 70, 90), 1))
    assert get_voxel_size_from_zarr(zarr.open(entry.zarr(), mode="r")) == 10.0
    assert (project / "static/ExperimentRuns/TS_1/VoxelSpacing10.000/wbp.zarr/.zattrs").is_file()


def test_coarser_levels_are_local_means(project: Path):
    group = zarr.open(str(project / "static/ExperimentRuns/TS_1/VoxelSpacing10.000/wbp.zarr"), mode="r")
    fine, coarse = group["0"][:], group["1"][:]
    assert coarse.shape == (10, 35, 45)
    assert np.allclose(coarse, fine.reshape(10, 2, 35, 2, 45, 2).mean((1, 3, 5)), atol=1e-5)
    assert group["2"].shape == (5, 18, 23)


def test_a_crop_inside_is_the_normalised_volume(project: Path):
    tomogram = find_tomograms(data_of(project))[0]
    whole = tomogram.contrast.apply(tomogram.read())
    assert np.array_equal(tomogram.crop((3, 4, 5), (6, 7, 8)), whole[3:9, 4:11, 5:13])
    stored = volume_of((20, 70, 90), 1)
    darkest = np.unravel_index(stored.argmin(), stored.shape)
    assert whole[darkest] == whole.max() > 3  # dark protein becomes positive


def test_a_crop_is_zero_outside_the_volume(project: Path):
    tomogram = find_tomograms(data_of(project))[0]
    whole = np.pad(tomogram.contrast.apply(tomogram.read()), 4)
    assert np.array_equal(tomogram.crop((-4, -4, -4), (28, 78, 98)), whole)
    assert not tomogram.crop((100, 0, 0), (8, 8, 8)).any()
    assert not tomogram.crop((-8, 0, 0), (8, 8, 8)).any()


def test_only_the_chunks_of_the_crop_are_read(tmp_path: Path):
    root = create_project(tmp_path / "p", [])
    folder = add_tomogram(root, "TS_1", "wbp", 10.0, volume_of((20, 200, 200)))
    tomogram = find_tomograms(data_of(tmp_path / "p"))[0]
    assert tomogram.contrast.scale > 0
    for chunk in (folder / "0").rglob("*"):
        if (
            chunk.is_file()
            and not chunk.name.startswith(".")
            and chunk.relative_to(folder / "0").parts != ("0", "0", "0")
        ):
            chunk.write_bytes(b"broken")
    assert tomogram.crop((0, 0, 0), (20, 64, 64)).any()
    with pytest.raises(InputError, match=r"expected readable voxels in TS_1/wbp"):
        tomogram.crop((0, 0, 0), (20, 65, 65))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int8", "float16"])
def test_small_types_are_kept_on_disk_and_read_as_float32(tmp_path: Path, dtype: str):
    root = create_project(tmp_path / "p", [])
    stored = (volume_of((9, 10, 11)) * 5 + 40).astype(dtype)
    folder = add_tomogram(root, "TS_1", "wbp", 10.0, stored)
    assert zarr.open(str(folder), mode="r")["0"].dtype == np.dtype(dtype)
    values = find_tomograms(data_of(tmp_path / "p"))[0].read()
    assert values.dtype == np.float32 and np.array_equal(values, stored.astype(np.float32))


def test_a_tomogram_can_be_sent_to_a_worker_process(project: Path):
    tomogram = find_tomograms(data_of(project))[0]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        theirs = pool.submit(tomogram.crop, (0, 0, 0), (8, 8, 8)).result()
    assert np.array_equal(theirs, tomogram.crop((0, 0, 0), (8, 8, 8)))


def test_adding_a_tomogram_again_replaces_it_and_leaves_nothing_behind(project: Path):
    root = open_project(project)
    folder = add_tomogram(root, "TS_1", "wbp", 10.0, volume_of((8, 9, 10), 5))
    assert np.array_equal(find_tomograms(data_of(project))[0].read(), volume_of((8, 9, 10), 5))
    assert sorted(left.name for left in folder.parent.iterdir()) == ["denoised.zarr", "wbp.zarr"]


def test_a_moved_project_is_found_beside_its_config(project: Path, tmp_path: Path):
    moved = tmp_path / "elsewhere"
    shutil.move(project, moved)
    assert len(find_tomograms(data_of(moved / "copick.json"))) == 2
    assert Path(open_project(moved).root_overlay) == moved / "overlay"
    shutil.rmtree(moved / "static")
    with pytest.raises(InputError, match=r"expected the data of .*copick\.json in .*static, found no such folder"):
        open_project(moved)


def test_creating_a_project_again_extends_it(project: Path):
    nucleosome = Complex(name="nucleosome", radius_angstrom=60.0)
    root = create_project(project, [nucleosome])
    assert list(object_radii(root)) == [*CHALLENGE, "nucleosome"]
    labels = [known.label for known in root.pickable_objects]
    assert labels == list(range(1, 8))
    before = (project / "copick.json").read_text()
    ensure_object(project, nucleosome)
    assert (project / "copick.json").read_text() == before
    with pytest.raises(InputError, match=r"expected the project's radius of 'nucleosome', 60\.0 Å, found 70 Å"):
        ensure_object(project, Complex(name="nucleosome", radius_angstrom=70))
    with pytest.raises(InputError, match=r"found 'my_protein': use 'my-protein'"):
        ensure_object(project, Complex(name="my_protein", radius_angstrom=70))


def test_a_missing_type_lists_those_there(project: Path):
    with pytest.raises(InputError, match=r"expected tomogram type 'denoised' in run TS_2, found wbp at 10 Å"):
        find_tomograms(data_of(project, tomogram_type="denoised"))
    assert len(find_tomograms(data_of(project, tomogram_type="denoised", runs=["TS_1"]))) == 1


def test_a_wrong_voxel_spacing_lists_those_there_and_ten_thousandths_do_not_matter(project: Path):
    with pytest.raises(InputError, match=r"expected voxel spacing 7\.84 Å in run TS_1, found denoised, wbp at 10 Å"):
        find_tomograms(data_of(project, voxel_spacing=7.84))
    assert len(find_tomograms(data_of(project, voxel_spacing=10.012))) == 2
    add_tomogram(open_project(project), "TS_1", "wbp", 5.0, volume_of((8, 8, 8)))
    with pytest.raises(
        InputError, match=r"expected one voxel spacing with type 'wbp' in run TS_1, found wbp at 5 Å; den"
    ):
        find_tomograms(data_of(project))
    assert find_tomograms(data_of(project, voxel_spacing=5.0, runs=["TS_1"]))[0].shape == (8, 8, 8)


def test_the_voxel_spacing_in_the_file_is_finer_than_the_folders_name_unless_it_contradicts(project: Path):
    path = project / "static/ExperimentRuns/TS_1/VoxelSpacing10.000/wbp.zarr/.zattrs"
    text = path.read_text()
    attributes = json.loads(text)
    for scale, spacing in ((10.012, 10.012), (1.0, 10.0)):
        transform = attributes["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]
        transform["scale"] = [scale] * 3
        path.write_text(json.dumps(attributes))
        assert find_tomograms(data_of(project))[0].voxel_spacing == spacing


def test_unknown_and_empty_runs_are_named(project: Path):
    with pytest.raises(InputError, match=r"expected runs among TS_1, TS_2, found TS_9 in data.runs"):
        find_tomograms(data_of(project, runs=["TS_1", "TS_9"]))
    with pytest.raises(InputError, match=r"expected at least one run in data.runs, found an empty list"):
        find_tomograms(data_of(project, runs=[]))
    (project / "static/ExperimentRuns/TS_3").mkdir()
    with pytest.raises(InputError, match=r"expected a tomogram in run TS_3, found an empty run"):
        find_tomograms(data_of(project))


def test_a_project_that_is_none_says_what_was_found(tmp_path: Path):
    with pytest.raises(InputError, match=r"expected a copick project, found none: .*data\.project="):
        open_project(None)
    with pytest.raises(InputError, match=r"expected a copick config at .*nowhere\.json, found no such file"):
        open_project(tmp_path / "nowhere.json")
    with pytest.raises(InputError, match=r"expected copick\.json in the folder .*, found none"):
        open_project(tmp_path)
    bad = tmp_path / "copick.json"
    bad.write_text("{")
    with pytest.raises(InputError, match=r"expected JSON in the copick config"):
        open_project(tmp_path)
    bad.write_text('{"picks": []}')
    with pytest.raises(InputError, match=r"expected a copick config with 'pickable_objects'"):
        open_project(tmp_path)
    create_project(tmp_path / "empty", [])
    with pytest.raises(InputError, match=r"expected runs in .*empty, found none"):
        find_tomograms(data_of(tmp_path / "empty"))


def test_volumes_that_are_no_tomogram_are_not_added(tmp_path: Path):
    root = create_project(tmp_path / "p", [])
    with pytest.raises(InputError, match=r"expected a volume of 3 axes \(z y x\), found shape \(4, 5\)"):
        add_tomogram(root, "TS_1", "wbp", 10.0, np.zeros((4, 5)))
    with pytest.raises(InputError, match=r"expected finite values for TS_1/wbp, found NaN or infinity alone"):
        add_tomogram(root, "TS_1", "wbp", 10.0, np.full((4, 5, 6), np.nan))
    with pytest.raises(InputError, match=r"expected a tomogram type without .* found 'my_wbp': use 'my-wbp'"):
        add_tomogram(root, "TS_1", "my_wbp", 10.0, volume_of((4, 5, 6)))
    assert list(root.runs) == []


def test_a_volume_with_some_nan_is_added_and_it_counts_as_background(tmp_path: Path):
    root = create_project(tmp_path / "p", [])
    volume = volume_of((20, 30, 40))
    volume[3, 4, 5] = np.nan
    with pytest.warns(UserWarning, match="TS_1/wbp: 1 voxels are NaN or infinite, which count as background"):
        add_tomogram(root, "TS_1", "wbp", 10.0, volume)
    (tomogram,) = find_tomograms(data_of(tmp_path / "p"))
    with pytest.warns(UserWarning, match="1 voxels from z y x"):
        crop = tomogram.crop((0, 0, 0), (8, 8, 8))
    assert abs(crop[3, 4, 5]) < 1e-6
    assert np.isfinite(crop).all()


def test_a_config_whose_values_are_of_another_kind_is_refused(tmp_path: Path):
    create_project(tmp_path / "p", [COMPLEXES["ribosome"]])
    config = json.loads((tmp_path / "p/copick.json").read_text())
    config["pickable_objects"][0]["color"] = ["red", None, 0, 255]
    (tmp_path / "p/copick.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="found one copick refuses"):
        open_project(tmp_path / "p")
