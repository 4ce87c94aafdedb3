"""Volumes in single files: OME-Zarr, MRC and TIFF, whole, damaged and incomplete."""

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
import zarr

from tomoseek.complexes import Complex
from tomoseek.config import DataConfig, Polarity
from tomoseek.errors import InputError
from tomoseek.tomograms.copick_tomograms import add_tomogram, find_tomograms
from tomoseek.tomograms.opening import open_mrc, open_tiff, open_zarr
from tomoseek.tomograms.project import create_project
from tomoseek.tomograms.volume_files import map_mrc


def volume_of(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(2.0, 3.0, shape).astype(np.float32)


def data_of(folder: Path, **changes: object) -> DataConfig:
    settings: dict = {
        "project": str(folder), "runs": None, "tomogram_type": "wbp", "voxel_spacing": None,
        "polarity": Polarity.dark,
    }  # fmt: skip
    return DataConfig(**{**settings, **changes})


def test_zarr_without_voxel_spacing_asks_for_it(tmp_path: Path):
    zarr.open_group(str(tmp_path / "ts.zarr"), mode="w").create_dataset("0", data=volume_of((4, 5, 6)))
    with pytest.raises(InputError, match=r"expected a voxel spacing in the metadata of .* give voxel_spacing in Å"):
        open_zarr(tmp_path / "ts.zarr")
    with pytest.raises(FileNotFoundError, match=r"expected an OME-Zarr at"):
        open_zarr(tmp_path / "none.zarr")
    zarr.open_group(str(tmp_path / "empty.zarr"), mode="w")
    with pytest.raises(InputError, match=r"expected an OME-Zarr in"):
        open_zarr(tmp_path / "empty.zarr", voxel_spacing=10.0)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float16", "float32"])
def test_mrc_is_mapped_and_agrees_with_mrcfile(tmp_path: Path, dtype: str):
    stored = (np.abs(volume_of((7, 8, 9))) * 9).astype(dtype)
    with mrcfile.new(tmp_path / "ts.mrc") as file:
        file.set_data(stored)
        file.voxel_size = 10.012
    tomogram = open_mrc(tmp_path / "ts.mrc")
    assert np.array_equal(tomogram.read(), stored.astype(np.float32))
    assert tomogram.voxel_spacing == pytest.approx(10.012) and tomogram.run == "ts"
    assert np.array_equal(tomogram.read((slice(1, 3), slice(2, 5), slice(0, 9))), stored[1:3, 2:5].astype(np.float32))


@pytest.mark.parametrize("order", "<>")
def test_mrc_of_either_byte_order_is_mapped_from_behind_its_extended_header(tmp_path: Path, order: str):
    stored = volume_of((4, 5, 6)).astype(f"{order}f4")
    with mrcfile.new(tmp_path / "ts.mrc", data=stored) as file:
        file.voxel_size = 10.0
        file.set_extended_header(np.arange(160, dtype=np.uint8))
    volume, spacing = map_mrc(tmp_path / "ts.mrc")
    assert isinstance(volume, np.memmap) and volume.offset == 1024 + 160 and volume.dtype == stored.dtype
    assert np.array_equal(volume, stored) and spacing == 10.0


def test_a_stack_of_volumes_in_an_mrc_is_sections_in_their_order(tmp_path: Path):
    stored = volume_of((6, 4, 5))
    with mrcfile.new(tmp_path / "ts.mrc", data=stored.reshape(2, 3, 4, 5)) as file:
        file.voxel_size = 10.0
    assert np.array_equal(map_mrc(tmp_path / "ts.mrc")[0], stored)


@pytest.mark.parametrize("mode", [3, 4, 7])
def test_an_mrc_of_complex_or_unknown_numbers_is_refused(tmp_path: Path, mode: int):
    with mrcfile.new(tmp_path / "ts.mrc", data=volume_of((4, 5, 6))) as file:
        file.header.mode = mode
    with pytest.raises(InputError, match=rf"mode among \[0, 1, 2, 6, 12\] in .*ts\.mrc, found {mode}: convert it"):
        map_mrc(tmp_path / "ts.mrc")


def test_mrc_with_other_axis_order_is_turned_to_z_y_x(tmp_path: Path):
    stored = volume_of((7, 8, 9))
    with mrcfile.new(tmp_path / "ts.mrc", data=stored) as file:
        file.voxel_size = 10.0
        file.header.mapc, file.header.mapr, file.header.maps = 1, 3, 2  # sections are y, rows are z
    assert np.array_equal(open_mrc(tmp_path / "ts.mrc").read(), stored.transpose(1, 0, 2))


def test_a_truncated_mrc_says_how_many_bytes_are_missing(tmp_path: Path):
    path = tmp_path / "ts.mrc"
    with mrcfile.new(path, data=volume_of((7, 8, 9))) as file:
        file.voxel_size = 10.0
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    expected, found = len(whole), len(whole) - 100
    with pytest.raises(InputError, match=f"expected {expected} bytes in .*7 x 8 x 9.* found {found}: .*truncated"):
        open_mrc(path)
    path.write_bytes(whole[:500])
    with pytest.raises(InputError, match=r"expected an MRC header of 1024 bytes in .*, found 500 bytes"):
        open_mrc(path)
    path.write_bytes(b"\x01" * 2000)
    with pytest.raises(InputError, match=r"expected an MRC"):
        open_mrc(path)
    with pytest.raises(FileNotFoundError, match=r"expected an MRC file at"):
        open_mrc(tmp_path / "none.mrc")


def test_an_mrc_that_lost_its_voxel_spacing_asks_for_it(tmp_path: Path):
    path = tmp_path / "ts.mrc"
    with mrcfile.new(path, data=volume_of((7, 8, 9))):
        pass
    with pytest.raises(InputError, match=r"expected a voxel spacing in the header of .*, found 0: give voxel_spacing"):
        open_mrc(path)
    assert open_mrc(path, voxel_spacing=13.3).voxel_spacing == 13.3
    with mrcfile.open(path, mode="r+") as file:
        file.voxel_size = (10, 10, 20)
    with pytest.raises(InputError, match=r"expected cubic voxels in .*, found x y z of 10\.000 10\.000 20\.000 Å"):
        open_mrc(path)


def test_tiff_stacks_are_volumes(tmp_path: Path):
    stored = np.random.default_rng(0).integers(0, 255, (6, 7, 8), dtype=np.uint8)
    for compression in (None, "zlib"):
        tifffile.imwrite(tmp_path / "ts.tif", stored, compression=compression)
        assert np.array_equal(open_tiff(tmp_path / "ts.tif", 10.52).read(), stored.astype(np.float32))
    tifffile.imwrite(tmp_path / "flat.tif", stored[0])
    with pytest.raises(InputError, match=r"expected a TIFF volume of 3 axes \(z y x\) in .*, found shape \(7, 8\)"):
        open_tiff(tmp_path / "flat.tif", 10.52)
    (tmp_path / "bad.tif").write_bytes(b"no tiff")
    with pytest.raises(InputError, match=r"expected a TIFF volume in"):
        open_tiff(tmp_path / "bad.tif", 10.52)


def test_real_sub_tomograms_become_a_project(shared_data: Path, tmp_path: Path):
    root = create_project(tmp_path / "mt", [Complex(name="tubulin", radius_angstrom=40.0)])
    for name in ("13pf_MT", "14pf_MT"):
        add_tomogram(root, name, "wbp", 10.52, open_tiff(shared_data / f"real/{name}.tif", 10.52).read())
    tomograms = find_tomograms(data_of(tmp_path / "mt"))
    assert [tomogram.shape for tomogram in tomograms] == [(36, 206, 94), (44, 136, 84)]
    for tomogram in tomograms:
        crop = tomogram.crop((0, 0, 0), tomogram.shape)
        assert abs(float(np.median(crop))) < 0.1 and 0.8 < float(crop.std()) < 1.5


def test_real_maps_keep_their_voxel_spacing(shared_data: Path):
    ribosome = open_mrc(shared_data / "maps/6qzp.mrc", Polarity.bright)
    assert ribosome.voxel_spacing == pytest.approx(10.0, abs=0.01)
