"""MRC files as programs write them: bytes of either sign, packed, voxel sides that are unequal or never written."""

import bz2
import gzip
import lzma
import tempfile
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from tomoseek.errors import InputError
from tomoseek.messages import Notice
from tomoseek.tomograms.mrc_bytes import IMOD_STAMP
from tomoseek.tomograms.opening import open_mrc, open_tomogram
from tomoseek.tomograms.volume_files import map_mrc


def clouds(shape: tuple[int, int, int] = (16, 40, 50), spread: float = 30.0) -> np.ndarray:
    return np.random.default_rng(0).normal(0, spread, shape)


def write_bytes_mrc(
    path: Path, values: np.ndarray, imod_flags: int | None = None, nversion: int = 0, order: str = "<"
) -> None:
    """Write bytes as they are, signed or not, under a header of mode 0."""
    with mrcfile.new(path, data=values.view(np.int8)) as file:
        file.voxel_size = 10.0
        file.header.nversion = nversion
        if imod_flags is not None:
            extra = bytearray(file.header.extra2.tobytes())
            extra[40:48] = np.array([IMOD_STAMP, imod_flags], dtype="<i4").tobytes()
            file.header.extra2 = np.void(bytes(extra))
    if order == ">":
        content = path.read_bytes()
        header = np.frombuffer(content[:1024], dtype="<i4").byteswap().tobytes()
        # Letters and the machine stamp are no numbers: they keep their order.
        header = header[:104] + content[104:108] + header[108:208] + content[208:212] + b"\x11\x11\0\0" + header[216:]
        path.write_bytes(header + content[1024:])


UNSIGNED = np.clip(128 + clouds(), 0, 255).round().astype(np.uint8)
SIGNED = np.clip(clouds(), -128, 127).round().astype(np.int8)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("stored", "flags"), [(UNSIGNED, 0), (SIGNED, 1), (UNSIGNED, 6), (SIGNED, 7)])
def test_the_flag_of_imod_says_whether_bytes_are_signed(tmp_path: Path, stored: np.ndarray, flags: int, order: str):
    write_bytes_mrc(tmp_path / "ts.mrc", stored, flags, order=order)
    assert np.array_equal(open_mrc(tmp_path / "ts.mrc").read(), stored.astype(np.float32))


def test_the_version_of_2014_says_signed_and_imod_has_the_last_word(tmp_path: Path):
    write_bytes_mrc(tmp_path / "ts.mrc", SIGNED, nversion=20140)
    assert np.array_equal(map_mrc(tmp_path / "ts.mrc")[0], SIGNED)
    write_bytes_mrc(tmp_path / "imod.mrc", UNSIGNED, 0, nversion=20140)
    assert np.array_equal(map_mrc(tmp_path / "imod.mrc")[0], UNSIGNED)


@pytest.mark.parametrize(
    ("stored", "word"),
    [
        (UNSIGNED, "unsigned"),
        (SIGNED, "signed"),
        (np.clip(90 + clouds(spread=40), 0, 255).astype(np.uint8), "unsigned"),
        (np.clip(200 + clouds(spread=40), 0, 255).astype(np.uint8), "unsigned"),
        (np.where(np.arange(50) < 12, 0, UNSIGNED).astype(np.uint8), "unsigned"),  # padded
        (np.where(np.arange(50) < 12, 0, SIGNED).astype(np.int8), "signed"),
        (np.clip(128 + 4 * clouds(), 0, 255).astype(np.uint8), "unsigned"),  # cut off at both ends
        (np.clip(4 * clouds(), -128, 127).astype(np.int8), "signed"),
    ],
)
def test_bytes_of_an_unknown_sign_are_read_as_their_values_suggest(tmp_path: Path, stored: np.ndarray, word: str):
    write_bytes_mrc(tmp_path / "ts.mrc", stored)
    with pytest.warns(Notice, match=rf"ts\.mrc holds bytes, .* read as {word}, (as|though) their values"):
        volume = map_mrc(tmp_path / "ts.mrc")[0]
    assert np.array_equal(volume, stored) and volume.dtype == stored.dtype


def test_bytes_that_are_one_in_both_readings_are_read_without_a_word(tmp_path: Path, recwarn: pytest.WarningsRecorder):
    small = np.clip(60 + clouds(spread=15), 0, 127).astype(np.uint8)
    write_bytes_mrc(tmp_path / "ts.mrc", small)
    assert np.array_equal(map_mrc(tmp_path / "ts.mrc")[0], small)
    assert not recwarn.list


def test_bytes_that_contradict_their_header_are_warned_of(tmp_path: Path):
    write_bytes_mrc(tmp_path / "ts.mrc", UNSIGNED, 1)
    with pytest.warns(Notice, match=r"says that its bytes are signed, yet they look unsigned"):
        assert map_mrc(tmp_path / "ts.mrc")[0].dtype == np.int8


def test_values_of_four_bits_are_refused(tmp_path: Path):
    write_bytes_mrc(tmp_path / "ts.mrc", UNSIGNED, 16)
    with pytest.raises(InputError, match=r"one voxel a byte in .*ts\.mrc, found two of four bits"):
        map_mrc(tmp_path / "ts.mrc")
    with mrcfile.new(tmp_path / "packed.mrc", data=UNSIGNED.view(np.int8)) as file:
        file.header.mode = 101
    with pytest.raises(InputError, match=r"mode among \[0, 1, 2, 6, 12\] in .*packed\.mrc, found 101"):
        map_mrc(tmp_path / "packed.mrc")


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
@pytest.mark.parametrize("name", ["ts.mrc", "ts.rec"])
def test_packed_files_are_read_as_what_they_are(tmp_path: Path, name: str, suffix: str, pack: object):
    noise = np.random.default_rng(0).integers(0, 2**16, (16, 30, 40), dtype=np.uint16)
    with mrcfile.new(tmp_path / "plain.mrc", data=noise) as file:
        file.voxel_size = 10.0
    packed = pack((tmp_path / "plain.mrc").read_bytes())  # type: ignore[operator]
    for path in (tmp_path / f"{name}{suffix}", tmp_path / name):  # the latter: packed, and called as if it were not
        path.write_bytes(packed)
        tomogram = open_tomogram(path)
        assert tomogram.run == "ts" and tomogram.voxel_spacing == 10.0
        assert np.array_equal(tomogram.read(), noise.astype(np.float32))


def test_unpacking_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "room").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "room"))
    with mrcfile.new(tmp_path / "ts.mrc", data=SIGNED.astype(np.float32)) as file:
        file.voxel_size = 10.0
    whole = gzip.compress((tmp_path / "ts.mrc").read_bytes())
    (tmp_path / "ts.mrc.gz").write_bytes(whole)
    tomogram = open_tomogram(tmp_path / "ts.mrc.gz")
    assert isinstance(tomogram._array, np.memmap) and not list((tmp_path / "room").iterdir())
    assert np.array_equal(tomogram.read(), SIGNED.astype(np.float32))
    (tmp_path / "ts.mrc.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"expected a whole gzip file in .*ts\.mrc\.gz"):
        open_tomogram(tmp_path / "ts.mrc.gz")
    assert not list((tmp_path / "room").iterdir())


@pytest.mark.parametrize(
    ("suffix", "magic", "packer"),
    [(".zip", b"PK\x03\x04", "zip"), (".zst", b"\x28\xb5\x2f\xfd", "zstd"), (".7z", b"7z\xbc\xaf\x27\x1c", "7-zip")],
)
def test_other_packers_are_named(tmp_path: Path, suffix: str, magic: bytes, packer: str):
    for name in (f"ts.mrc{suffix}", "ts.mrc", f"ts.tif{suffix}"):
        (tmp_path / name).write_bytes(magic + bytes(4000))
        with pytest.raises(InputError, match=f"found a file packed by {packer}: unpack it first"):
            open_tomogram(tmp_path / name, voxel_spacing=10.0)


@pytest.mark.parametrize("sides", [(10.0, 10.0, 10.16), (10.0, 10.0, 0.0), (10.0, 12.0, 10.0)])
def test_unequal_sides_are_refused_unless_the_spacing_is_given(tmp_path: Path, sides: tuple[float, ...]):
    with mrcfile.new(tmp_path / "ts.mrc", data=SIGNED) as file:
        file.voxel_size = sides
    with pytest.raises(InputError, match=r"expected cubic voxels in .*ts\.mrc.* give voxel_spacing in Å"):
        open_mrc(tmp_path / "ts.mrc")
    assert open_mrc(tmp_path / "ts.mrc", voxel_spacing=10.0).voxel_spacing == 10.0


@pytest.mark.parametrize("cell_z", [10.0, 160.0])
def test_a_stack_of_one_cell_has_the_spacing_of_its_sections(tmp_path: Path, cell_z: float):
    with mrcfile.new(tmp_path / "ts.mrc", data=SIGNED) as file:
        file.voxel_size = 10.0
        file.header.ispg, file.header.mz, file.header.cella.z = 0, 1, cell_z
    assert open_mrc(tmp_path / "ts.mrc").voxel_spacing == pytest.approx(10.0)


@pytest.mark.parametrize("spacing", [1.0, 0.1, 1000.0])
def test_a_spacing_that_was_never_written_is_warned_of_unless_it_is_given(
    tmp_path: Path, spacing: float, recwarn: pytest.WarningsRecorder
):
    with mrcfile.new(tmp_path / "ts.mrc", data=SIGNED) as file:
        file.voxel_size = spacing
    assert open_mrc(tmp_path / "ts.mrc", voxel_spacing=spacing).voxel_spacing == spacing and not recwarn.list
    with pytest.warns(Notice, match=r"Å per voxel, which usually means that it was never written"):
        open_mrc(tmp_path / "ts.mrc")


def test_an_extended_header_longer_than_the_file_is_damage(tmp_path: Path):
    with mrcfile.new(tmp_path / "ts.mrc", data=SIGNED) as file:
        file.voxel_size = 10.0
        file.header.nsymbt = 2_000_000_000
    with pytest.raises(InputError, match=r"expected an MRC file in .*, found an extended header longer than it"):
        open_mrc(tmp_path / "ts.mrc")
