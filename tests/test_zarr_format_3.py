"""Zarr of format 3 and OME-Zarr 0.5, written by the letter of their specification, are read as those of format 2."""

import json
import pickle
import tempfile
from pathlib import Path
from typing import Any

import fsspec
import numcodecs
import numpy as np
import pytest
from zarr.storage import FSStore

from tomoseek.config import DataConfig, Polarity
from tomoseek.errors import InputError
from tomoseek.tomograms.copick_tomograms import add_tomogram, find_tomograms
from tomoseek.tomograms.opening import open_zarr
from tomoseek.tomograms.project import create_project
from tomoseek.tomograms.zarr_levels import open_level

VOLUME = np.random.default_rng(0).normal(2, 3, (20, 30, 40)).astype(np.float32)  # z y x


def with_crc32c(content: bytes) -> bytes:
    """Put the CRC-32C (Castagnoli) of bytes behind them."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    steps, value = table.tolist(), 0xFFFFFFFF
    for byte in content:
        value = steps[(value ^ byte) & 0xFF] ^ (value >> 8)
    return content + (value ^ 0xFFFFFFFF).to_bytes(4, "little")


CODECS: dict[str, tuple[list[dict], Any]] = {
    "plain": ([], bytes),
    "gzip": ([{"name": "gzip", "configuration": {"level": 5}}], numcodecs.GZip(5).encode),
    "zstd": ([{"name": "zstd", "configuration": {"level": 3, "checksum": False}}], numcodecs.Zstd(3).encode),
    "blosc": (
        [{"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 4}}],
        lambda chunk: numcodecs.Blosc("lz4", 5, 1).encode(chunk),
    ),
    "zstd and a checksum": (
        [{"name": "zstd", "configuration": {"level": 0}}, {"name": "crc32c"}],
        lambda chunk: with_crc32c(bytes(numcodecs.Zstd(0).encode(chunk))),
    ),
}


def pad_to(volume: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.pad(volume, [(0, full - length) for full, length in zip(shape, volume.shape, strict=True)])


def write_version_3(
    folder: Path, codec: str = "plain", endian: str = "little", shard: int = 0, axes: str = "zyx", chunk: int = 16
) -> Path:
    """Write `VOLUME` by the letter of the specification of zarr 3 and OME-Zarr 0.5; chunks of zeros are left out."""
    volume = VOLUME.transpose(["zyx".index(axis) for axis in axes]).copy()
    volume[16:] = 0
    described, pack = CODECS[codec]
    inner = [{"name": "bytes", "configuration": {"endian": endian}}, *described]
    dtype = volume.dtype.newbyteorder("<" if endian == "little" else ">")
    side = shard * chunk if shard else chunk
    array = folder / "s0"
    for start in np.ndindex(*(-(-length // side) for length in volume.shape)):
        cut = tuple(slice(at * side, (at + 1) * side) for at in start)
        block = pad_to(volume[cut], (side,) * 3).astype(dtype)
        if not block.any():
            continue
        file = array.joinpath("c", *map(str, start))
        file.parent.mkdir(parents=True, exist_ok=True)
        if not shard:
            file.write_bytes(bytes(pack(np.ascontiguousarray(block).tobytes() if codec != "blosc" else block)))
            continue
        index, content = np.full((shard,) * 3 + (2,), 2**64 - 1, dtype="<u8"), b""
        for place in np.ndindex(shard, shard, shard):
            piece = np.ascontiguousarray(block[tuple(slice(at * chunk, (at + 1) * chunk) for at in place)])
            if piece.any():
                packed = bytes(pack(piece.tobytes() if codec != "blosc" else piece))
                index[place] = len(content), len(packed)
                content += packed
        file.write_bytes(content + with_crc32c(index.tobytes()))
    codecs = inner
    if shard:
        settings = {
            "chunk_shape": [chunk] * 3, "codecs": inner, "index_location": "end",
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        }  # fmt: skip
        codecs = [{"name": "sharding_indexed", "configuration": settings}]
    metadata = {
        "zarr_format": 3, "node_type": "array", "shape": list(volume.shape), "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [side] * 3}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0, "codecs": codecs, "attributes": {}, "dimension_names": list(axes),
    }  # fmt: skip
    array.mkdir(parents=True, exist_ok=True)
    (array / "zarr.json").write_text(json.dumps(metadata))
    image = {
        "axes": [{"name": axis, "type": "space", "unit": "nanometer"} for axis in axes],
        "datasets": [{"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": [1.0] * 3}]}],
    }
    group = {
        "zarr_format": 3, "node_type": "group",
        "attributes": {"ome": {"version": "0.5", "multiscales": [image]}},
    }  # fmt: skip
    (folder / "zarr.json").write_text(json.dumps(group))
    return folder


def expected_of(axes: str = "zyx") -> np.ndarray:
    volume = VOLUME.transpose(["zyx".index(axis) for axis in axes]).copy()
    volume[16:] = 0
    return volume.transpose([axes.index(axis) for axis in "zyx"])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("shard", [0, 2])
def test_format_3_is_read_whatever_its_codec_and_with_shards(tmp_path: Path, codec: str, shard: int):
    tomogram = open_zarr(write_version_3(tmp_path / "ts.zarr", codec, shard=shard))
    assert tomogram.shape == VOLUME.shape and tomogram.voxel_spacing == 10.0
    assert np.array_equal(tomogram.read(), expected_of())
    region = (slice(3, 18), slice(15, 17), slice(20, 40))
    assert np.array_equal(tomogram.read(region), expected_of()[region])
    assert np.array_equal(pickle.loads(pickle.dumps(tomogram)).read(), expected_of())


def test_format_3_follows_byte_order_and_axes(tmp_path: Path):
    tomogram = open_zarr(write_version_3(tmp_path / "ts.zarr", "zstd", endian="big", axes="xyz"))
    assert np.array_equal(tomogram.read(), expected_of("xyz"))


def test_format_3_in_a_project_is_read_a_chunk_at_a_time(tmp_path: Path):
    root = create_project(tmp_path / "p", [])
    folder = add_tomogram(root, "TS_1", "wbp", 10.0, VOLUME)
    for old in (folder / "0", folder / "1", folder / "2"):
        old.rename(tmp_path / f"old{old.name}")
    for old in (".zgroup", ".zattrs"):
        (folder / old).unlink()
    write_version_3(folder, "gzip", chunk=10)
    (folder / "s0/c/1/2/3").write_bytes(b"broken")
    data = DataConfig(
        project=str(tmp_path / "p"), runs=None, tomogram_type="wbp", voxel_spacing=None, polarity=Polarity.dark
    )
    tomogram = find_tomograms(data)[0]
    assert np.array_equal(tomogram.read((slice(0, 20), slice(0, 20), slice(0, 40))), expected_of()[:, :20])
    with pytest.raises(InputError, match=r"expected readable voxels"):
        tomogram.read()


def test_format_3_on_another_file_system_is_read_by_ranges():
    fs = fsspec.filesystem("memory")
    with tempfile.TemporaryDirectory() as folder:
        write_version_3(Path(folder) / "ts.zarr", "zstd", shard=2)
        fs.put(folder, "/v3", recursive=True)
    array, sides = open_level(FSStore("/v3/ts.zarr", fs=fs, mode="r"), "memory")
    assert (
        np.array_equal(array[(slice(None),) * 3], expected_of()) and sides is not None and sides.tolist() == [10.0] * 3
    )
    fs.rm("/v3", recursive=True)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("codecs", [{"name": "bytes"}, {"name": "zfpy"}], "a codec among blosc, gzip and zstd .* found zfpy"),
        ("data_type", "complex64", "a type of plain numbers .* found complex64"),
        ("chunk_grid", {"name": "rectilinear"}, "chunks of one size, stored as they are .* found rectilinear"),
        ("codecs", [{"name": "transpose", "configuration": {"order": [1, 0, 2]}}], "found transpose"),
        ("shape", "many", "found "),
    ],
)
def test_what_format_2_does_not_know_of_format_3_is_refused_in_one_line(
    tmp_path: Path, key: str, value: object, said: str
):
    path = write_version_3(tmp_path / "ts.zarr") / "s0/zarr.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(InputError, match=said) as caught:
        open_zarr(tmp_path / "ts.zarr")
    assert "\n" not in str(caught.value)
