"""OME-Zarr as programs write it: axes in any order, units, names of levels."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tomoseek.config import DataConfig, Polarity
from tomoseek.errors import InputError
from tomoseek.messages import Notice
from tomoseek.tomograms.copick_tomograms import add_tomogram, find_tomograms
from tomoseek.tomograms.opening import open_tomogram, open_zarr
from tomoseek.tomograms.project import create_project

VOLUME = np.random.default_rng(0).normal(2, 3, (20, 30, 40)).astype(np.float32)  # z y x


def image(
    axes: str | list[Any] | None = "zyx",
    scale: list[float] | None = None,
    unit: str | None = "angstrom",
    path: str = "0",
    more: list[dict] | None = None,
    whole: list[dict] | None = None,
) -> dict[str, Any]:
    """Metadata of one image as OME-Zarr has them."""
    num = len(axes or "zyx")
    if isinstance(axes, str):
        axes = [{"name": axis, "type": "space", **({"unit": unit} if unit else {})} for axis in axes]
    steps = [{"type": "scale", "scale": scale or [10.0] * num}, *(more or [])]
    return {
        "version": "0.4",
        **({} if axes is None else {"axes": axes}),
        "datasets": [{"path": path, "coordinateTransformations": steps}],
        **({"coordinateTransformations": whole} if whole else {}),
    }


def write_zarr(folder: Path, volume: np.ndarray = VOLUME, path: str = "0", **metadata: Any) -> Path:
    group = zarr.open_group(str(folder), mode="w")
    group.create_dataset(path, data=volume, chunks=tuple(min(16, length) for length in volume.shape))
    group.attrs["multiscales"] = [image(path=path, **metadata)]
    return folder


@pytest.mark.parametrize("axes", ["zyx", "xyz", "yzx", "czyx", "tcxyz", "xyzc"])
def test_axes_are_followed_by_their_names(tmp_path: Path, axes: str):
    stored = VOLUME.transpose(["zyx".index(axis) for axis in axes if axis in "zyx"])
    for place, axis in enumerate(axes):
        if axis not in "zyx":
            stored = np.expand_dims(stored, place)
    scale = [10.0 if axis in "zyx" else 1.0 for axis in axes]
    tomogram = open_zarr(write_zarr(tmp_path / "ts.zarr", stored, axes=axes, scale=scale))
    assert tomogram.shape == VOLUME.shape and tomogram.voxel_spacing == 10.0
    assert np.array_equal(tomogram.read(), VOLUME)
    region = (slice(3, 9), slice(4, 17), slice(20, 40))
    assert np.array_equal(tomogram.read(region), VOLUME[region])
    assert np.array_equal(tomogram._array[:], VOLUME) and np.array_equal(tomogram._array[2:5], VOLUME[2:5])


def test_a_turned_zarr_reads_only_the_chunks_of_a_region(tmp_path: Path):
    folder = write_zarr(tmp_path / "ts.zarr", VOLUME.transpose(2, 1, 0), axes="xyz")
    for chunk in (folder / "0").iterdir():
        if not chunk.name.startswith(".") and chunk.name != "0.0.0":
            chunk.write_bytes(b"broken")
    tomogram = open_zarr(folder)
    assert np.array_equal(tomogram.read((slice(0, 16),) * 3), VOLUME[:16, :16, :16])
    with pytest.raises(InputError, match=r"expected readable voxels"):
        tomogram.read((slice(0, 17),) * 3)
    assert pickle.loads(pickle.dumps(tomogram)).shape == VOLUME.shape  # as worker processes get it


def test_several_volumes_are_refused_by_the_name_of_their_axis(tmp_path: Path):
    write_zarr(tmp_path / "two.zarr", np.stack([VOLUME, VOLUME]), axes="czyx", scale=[1.0, 10.0, 10.0, 10.0])
    with pytest.raises(InputError, match=r"expected one volume in .*two\.zarr, found 2 along its axis 'c'"):
        open_zarr(tmp_path / "two.zarr")
    write_zarr(tmp_path / "flat.zarr", VOLUME[0], axes="yx")
    with pytest.raises(InputError, match=r"expected a volume with the axes z, y and x in .*flat\.zarr"):
        open_zarr(tmp_path / "flat.zarr")


@pytest.mark.parametrize(
    ("unit", "scale"),
    [("nanometer", 1.0), ("micrometer", 0.001), ("nm", 1.0), ("um", 0.001), ("µm", 0.001), ("Å", 10.0), (None, 10.0)],
)
def test_units_become_angstrom(tmp_path: Path, unit: str | None, scale: float):
    assert open_zarr(write_zarr(tmp_path / "ts.zarr", unit=unit, scale=[scale] * 3)).voxel_spacing == pytest.approx(10)


def test_an_unknown_unit_is_told_and_not_used(tmp_path: Path):
    folder = write_zarr(tmp_path / "ts.zarr", unit="pixel")
    with (
        pytest.warns(Notice, match=r"voxel spacing in 'pixel', which is no unit of length"),
        pytest.raises(InputError, match=r"expected a voxel spacing in the metadata"),
    ):
        open_zarr(folder)


def test_the_scale_of_the_image_multiplies_that_of_its_level(tmp_path: Path):
    whole = [{"type": "scale", "scale": [5.0] * 3}]
    assert open_zarr(write_zarr(tmp_path / "ts.zarr", scale=[2.0] * 3, whole=whole)).voxel_spacing == 10.0


def test_a_corner_elsewhere_is_warned_of_but_half_a_voxel_is_not(tmp_path: Path, recwarn: pytest.WarningsRecorder):
    half = [{"type": "translation", "translation": [5.0] * 3}]
    open_zarr(write_zarr(tmp_path / "half.zarr", more=half))
    assert not recwarn.list
    far = [{"type": "translation", "translation": [0.0, 100.0, 200.0]}]
    with pytest.warns(Notice, match=r"corner lies at x y z of 200 100 0 Å"):
        open_zarr(write_zarr(tmp_path / "far.zarr", more=far))


def test_unequal_sides_are_refused_unless_the_spacing_is_given(tmp_path: Path):
    folder = write_zarr(tmp_path / "ts.zarr", scale=[12.0, 10.0, 10.0])
    with pytest.raises(InputError, match=r"expected cubic voxels in .*, found x y z of 10\.000 10\.000 12\.000 Å"):
        open_zarr(folder)
    assert open_zarr(folder, voxel_spacing=10.0).voxel_spacing == 10.0
    with pytest.warns(Notice, match=r"1 Å per voxel, which usually means that it was never written"):
        open_zarr(write_zarr(tmp_path / "one.zarr", scale=[1.0] * 3))


def test_unequal_sides_in_a_project_are_refused_unless_the_spacing_is_given(tmp_path: Path):
    root = create_project(tmp_path / "p", [])
    write_zarr(add_tomogram(root, "TS_1", "wbp", 10.0, VOLUME), scale=[10.3, 10.0, 10.0])
    data = DataConfig(
        project=str(tmp_path / "p"), runs=None, tomogram_type="wbp", voxel_spacing=None, polarity=Polarity.dark
    )
    with pytest.raises(
        InputError, match=r"expected cubic voxels in .*wbp\.zarr, found x y z of 10\.000 10\.000 10\.300"
    ):
        find_tomograms(data)
    data.voxel_spacing = 10.0
    assert find_tomograms(data)[0].voxel_spacing == 10.0


def test_levels_are_found_by_their_names_with_metadata_and_without(tmp_path: Path):
    tomogram = open_zarr(write_zarr(tmp_path / "s0.zarr", path="s0"))
    assert np.array_equal(tomogram.read(), VOLUME)
    group = zarr.open_group(str(tmp_path / "bare.zarr"), mode="w")
    for name, step in (("s1", 2), ("s0", 1)):
        group.create_dataset(name, data=VOLUME[::step, ::step, ::step])
    assert open_zarr(tmp_path / "bare.zarr", voxel_spacing=10.0).shape == VOLUME.shape
    zarr.save_array(str(tmp_path / "array.zarr"), VOLUME.astype(">i2"))
    assert np.array_equal(open_zarr(tmp_path / "array.zarr", 10.0).read(), VOLUME.astype("i2").astype("f4"))
    with pytest.raises(InputError, match=r"expected one image in the OME-Zarr .*many\.zarr, found a, b: give the path"):
        many = zarr.open_group(str(tmp_path / "many.zarr"), mode="w")
        many.create_dataset("a", data=VOLUME)
        many.create_dataset("b", data=VOLUME)
        open_zarr(tmp_path / "many.zarr", 10.0)


def test_old_ome_zarr_names_no_axes_and_an_image_may_lie_one_folder_deeper(tmp_path: Path):
    folder = write_zarr(tmp_path / "old.zarr", VOLUME[None, None], axes=None, scale=[1.0, 1.0, 10.0, 10.0, 10.0])
    assert np.array_equal(open_zarr(folder).read(), VOLUME)
    group = zarr.open_group(str(tmp_path / "deep.zarr"), mode="w")
    group.attrs["bioformats2raw.layout"] = 3
    write_zarr(tmp_path / "deep.zarr/0")
    assert np.array_equal(open_zarr(tmp_path / "deep.zarr").read(), VOLUME)
    assert np.array_equal(open_tomogram(tmp_path / "deep.zarr/0").read(), VOLUME)  # a zarr by what it holds


def test_complex_numbers_and_files_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"expected real numbers in .*ts\.zarr, found complex64"):
        open_zarr(write_zarr(tmp_path / "ts.zarr", VOLUME.astype(np.complex64)))
    (tmp_path / "packed.zarr").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"expected the folder of an OME-Zarr at .*packed\.zarr, found a file"):
        open_zarr(tmp_path / "packed.zarr")


def test_a_chunk_that_was_cut_short_is_damaged_whether_it_is_packed_or_not(tmp_path: Path):
    for name, compressor in (("packed", "default"), ("plain", None)):
        group = zarr.open_group(str(tmp_path / f"{name}.zarr"), mode="w")
        group.create_dataset("0", data=VOLUME, chunks=(16, 16, 16), compressor=compressor)
        chunk = tmp_path / f"{name}.zarr/0/0.1.1"
        chunk.write_bytes(chunk.read_bytes()[:1000])
        tomogram = open_zarr(tmp_path / f"{name}.zarr", 10.0)
        with pytest.raises(InputError, match=r"expected readable voxels in .*: damaged or out of reach"):
            tomogram.read()
