"""TIFF stacks as programs write them: spacings of ImageJ and OME-TIFF, BigTIFF, and what is no volume."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tomoseek.errors import InputError
from tomoseek.messages import Notice
from tomoseek.tomograms.opening import open_tiff, open_tomogram

VOLUME = np.random.default_rng(0).normal(2, 3, (6, 7, 8)).astype(np.float32)


@pytest.mark.parametrize(("unit", "per_unit", "spacing"), [("nm", 1.0, 1.0), ("micron", 1000.0, 0.001), ("Å", 0.1, 10)])
def test_the_spacing_of_imagej_is_used_when_none_is_given(tmp_path: Path, unit: str, per_unit: float, spacing: float):
    unit = unit.encode("ascii", "backslashreplace").decode().replace("\\xc5", "\\u00C5")  # as ImageJ writes letters
    tifffile.imwrite(
        tmp_path / "ts.tif", VOLUME, imagej=True, resolution=(per_unit, per_unit),
        metadata={"axes": "ZYX", "spacing": spacing, "unit": unit},
    )  # fmt: skip
    tomogram = open_tomogram(tmp_path / "ts.tif")
    assert tomogram.voxel_spacing == pytest.approx(10.0) and np.array_equal(tomogram.read(), VOLUME)
    assert open_tomogram(tmp_path / "ts.tif", voxel_spacing=7.84).voxel_spacing == 7.84


@pytest.mark.parametrize(("unit", "size"), [("Å", 10.0), ("nm", 1.0), ("µm", 0.001), (None, 0.001)])
def test_the_physical_size_of_an_ome_tiff_is_used_when_none_is_given(tmp_path: Path, unit: str | None, size: float):
    sizes: dict[str, object] = {f"PhysicalSize{axis}": size for axis in "XYZ"}
    sizes |= {f"PhysicalSize{axis}Unit": unit for axis in "XYZ"} if unit else {}
    tifffile.imwrite(tmp_path / "ts.ome.tif", VOLUME, metadata={"axes": "ZYX", **sizes})
    tomogram = open_tomogram(tmp_path / "ts.ome.tif")
    assert tomogram.voxel_spacing == pytest.approx(10.0) and tomogram.run == "ts"
    assert np.array_equal(tomogram.read(), VOLUME)


def test_unequal_sides_are_refused_unless_the_spacing_is_given(tmp_path: Path):
    sizes = {"PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0, "PhysicalSizeZ": 1.2}
    units = {f"PhysicalSize{axis}Unit": "nm" for axis in "XYZ"}
    tifffile.imwrite(tmp_path / "ts.ome.tif", VOLUME, metadata={"axes": "ZYX", **sizes, **units})
    with pytest.raises(InputError, match=r"expected cubic voxels in .*ts\.ome\.tif, found x y z of 10\.000 10\.000 12"):
        open_tiff(tmp_path / "ts.ome.tif")
    assert open_tiff(tmp_path / "ts.ome.tif", 10.0).voxel_spacing == 10.0


def test_a_tiff_that_does_not_say_its_spacing_asks_for_it(tmp_path: Path):
    tifffile.imwrite(tmp_path / "ts.tif", VOLUME)
    with pytest.raises(InputError, match=r"expected the voxel spacing of .*ts\.tif in Å, .*give voxel_spacing"):
        open_tomogram(tmp_path / "ts.tif")


@pytest.mark.parametrize("settings", [{"bigtiff": True}, {"compression": "zlib"}, {"byteorder": ">"}])
def test_stacks_are_read_however_they_are_stored(tmp_path: Path, settings: dict):
    tifffile.imwrite(tmp_path / "ts.tif", VOLUME, **settings)
    packed = gzip.compress((tmp_path / "ts.tif").read_bytes())
    (tmp_path / "ts.tiff.gz").write_bytes(packed)
    for name in ("ts.tif", "ts.tiff.gz"):
        assert np.array_equal(open_tomogram(tmp_path / name, 10.0).read(), VOLUME)


def test_a_stack_in_one_piece_is_mapped(tmp_path: Path):
    tifffile.imwrite(tmp_path / "ts.tif", VOLUME, bigtiff=True)
    array = open_tiff(tmp_path / "ts.tif", 10.0)._array
    while not isinstance(array, np.memmap):
        assert array.base is not None
        array = array.base


def test_colours_and_several_images_are_refused(tmp_path: Path):
    colours = np.zeros((6, 7, 8, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", colours, photometric="rgb")
    with pytest.raises(InputError, match=r"expected grey values in the TIFF .*rgb\.tif, found colours"):
        open_tiff(tmp_path / "rgb.tif", 10.0)
    with tifffile.TiffWriter(tmp_path / "two.tif") as file:
        file.write(VOLUME)
        file.write(VOLUME[:, :5])
    with pytest.raises(InputError, match=r"expected one image in the TIFF .*two\.tif, found 2"):
        open_tiff(tmp_path / "two.tif", 10.0)
    tifffile.imwrite(tmp_path / "hyper.tif", np.stack([VOLUME, VOLUME]), imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(InputError, match=r"expected a TIFF volume of 3 axes .*hyper\.tif, found shape \(2, 6, 7, 8\)"):
        open_tiff(tmp_path / "hyper.tif", 10.0)


def test_pages_called_time_points_are_taken_for_sections_and_said_so(tmp_path: Path):
    tifffile.imwrite(tmp_path / "ts.tif", VOLUME, imagej=True, metadata={"axes": "TYX"})
    with pytest.warns(Notice, match=r"calls its 6 pages time points: they are taken for the sections of a volume"):
        assert np.array_equal(open_tiff(tmp_path / "ts.tif", 10.0).read(), VOLUME)
