"""Building an index: every cell once, resumed after a kill, refused for another encoder."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from embed.build import BuildConfig, add_tomograms, open_or_create, sole_builder
from embed.build import run as run_build
from embed.dense import grid_shape
from embed.header import new_header
from embed.index import Index
from embed.shard import Storage
from tomoseek.complexes import Complex
from tomoseek.config import DataConfig, Polarity, compose_settings
from tomoseek.encoder import Encoder
from tomoseek.errors import InputError
from tomoseek.tomograms import Tomogram, add_tomogram, create_project, find_tomograms
from tomoseek.weights import fingerprint, load_encoder, random_encoder

ROOT = Path(__file__).resolve().parent.parent
GRID = (6, 9, 10)
SPACING = 10.0


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """The untrained tiny encoder."""
    return load_encoder("random-tiny", "cpu")


@pytest.fixture
def tomograms(tmp_path: Path) -> list[Tomogram]:
    """Two runs of noise in a copick project."""
    root = create_project(tmp_path / "project", [Complex(name="blob", radius_angstrom=60.0)])
    noise = np.random.default_rng(0)
    for run in ("a", "b"):
        add_tomogram(root, run, "wbp", SPACING, noise.standard_normal((20, 45, 50)).astype(np.float32))
    data = DataConfig(
        project=str(tmp_path / "project"),
        runs=None,
        tomogram_type="wbp",
        voxel_spacing=None,
        polarity=Polarity.dark,
    )
    return find_tomograms(data)


def start(folder: Path, encoder: Encoder) -> Index:
    """Open or create an index for an encoder."""
    header = new_header(
        fingerprint=fingerprint(encoder),
        encoder="random-tiny",
        encoder_config=asdict(encoder.config),
        storage=Storage.int8,
        keep_fraction=1.0,
        tile=48,
        overlap=16,
    )
    return open_or_create(folder, header)


def build(folder: Path, encoder: Encoder, tomograms: list[Tomogram]) -> int:
    """Build an index and return how many runs were new."""
    return add_tomograms(start(folder, encoder), encoder, tomograms, torch.device("cpu"), progress=False)


def test_every_cell_is_stored_once_as_a_unit_vector(
    tmp_path: Path, encoder: Encoder, tomograms: list[Tomogram]
) -> None:
    build(tmp_path / "index", encoder, tomograms[:1])
    shard = Index.open(tmp_path / "index").shard("a")
    num_cells = int(np.prod(grid_shape((20, 45, 50))))
    assert len(np.unique(shard.cells_zyx, axis=0)) == len(shard.cells_zyx) == num_cells
    norms = np.linalg.norm(shard.read_vectors(np.arange(num_cells)), axis=1)
    np.testing.assert_allclose(norms, 1.0, atol=0.02)


def test_index_stopped_half_way_is_usable_and_finishes_as_if_never_stopped(
    tmp_path: Path, encoder: Encoder, tomograms: list[Tomogram], capsys: pytest.CaptureFixture[str]
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    build(whole, encoder, tomograms)

    class Unreadable(Tomogram):
        """A tomogram whose second slab is never read: the program ends there."""

        def crop(self, start_zyx: object, size_zyx: object) -> NDArray[np.float32]:
            raise KeyboardInterrupt

    second = tomograms[1]
    broken = Unreadable(
        run="b",
        tomogram_type="wbp",
        voxel_spacing=SPACING,
        array=second.read(),
        polarity=Polarity.dark,
        source="b",
    )
    with pytest.raises(KeyboardInterrupt):
        build(stopped, encoder, [tomograms[0], broken])
    assert list(Index.open(stopped).entries) == ["a"]
    (stopped / ".b.faiss.1.partial").write_bytes(b"half")
    (stopped / "b.faiss").write_bytes(b"from a build stopped before index.json")
    assert build(stopped, encoder, tomograms) == 1
    assert "run a: reused" in capsys.readouterr().out
    assert sorted(path.name for path in stopped.iterdir()) == sorted(path.name for path in whole.iterdir())
    for name in ("a.faiss", "b.faiss", "b.cells.npy", "b.particle.npy"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()


def test_changed_tomogram_or_lost_file_is_embedded_again(
    tmp_path: Path, encoder: Encoder, tomograms: list[Tomogram]
) -> None:
    folder = tmp_path / "index"
    assert build(folder, encoder, tomograms) == 2
    assert build(folder, encoder, tomograms) == 0
    (folder / "a.cells.npy").unlink()
    assert build(folder, encoder, tomograms) == 1
    brighter = Tomogram(
        run="b",
        tomogram_type="wbp",
        voxel_spacing=SPACING,
        array=tomograms[1].read() * 2,
        polarity=Polarity.dark,
        source="b",
    )
    assert build(folder, encoder, [tomograms[0], brighter]) == 1
    assert sorted(Index.open(folder).entries) == ["a", "b"]


def test_another_encoder_or_setting_is_refused_and_the_index_stays(
    tmp_path: Path, encoder: Encoder, tomograms: list[Tomogram]
) -> None:
    folder = tmp_path / "index"
    build(folder, encoder, tomograms[:1])
    before = (folder / "index.json").read_text()
    other = random_encoder("tiny", seed=1)
    with pytest.raises(InputError, match="expected the encoder that built it"):
        build(folder, other, tomograms)
    index = Index.open(folder)
    with pytest.raises(InputError, match="expected the encoder that built it"):
        index.check_encoder(fingerprint(other), "other")
    header = new_header(
        fingerprint=fingerprint(encoder),
        encoder="random-tiny",
        encoder_config=asdict(encoder.config),
        storage=Storage.float16,
        keep_fraction=1.0,
        tile=48,
        overlap=16,
    )
    with pytest.raises(InputError, match="storage=int8"):
        open_or_create(folder, header)
    assert (folder / "index.json").read_text() == before
    assert json.loads(before)["header"]["fingerprint"] == fingerprint(encoder)


def command(folder: Path, *words: str) -> None:
    """``embed build`` in this process."""
    settings = [f"data.project={folder / 'project'}", f"index={folder / 'index'}", "encoder=random-tiny", "device=cpu"]
    run_build(compose_settings("embed_build", BuildConfig, [*settings, "tile=48", *words]))


def test_runs_that_left_the_project_leave_the_index_unless_some_runs_were_asked_for(
    tmp_path: Path, tomograms: list[Tomogram], capsys: pytest.CaptureFixture[str]
) -> None:
    command(tmp_path)
    shutil.rmtree(next((tmp_path / "project").rglob("b/VoxelSpacing*")).parent)
    command(tmp_path, "data.runs=[a]")
    assert sorted(Index.open(tmp_path / "index").entries) == ["a", "b"]
    command(tmp_path)
    assert "run b: no longer in the project" in capsys.readouterr().out
    assert list(Index.open(tmp_path / "index").entries) == ["a"]
    assert [path.name for path in (tmp_path / "index").glob("b.*")] == []


def test_a_second_builder_is_turned_away_and_a_killed_one_blocks_nobody(
    tmp_path: Path, tomograms: list[Tomogram]
) -> None:
    with sole_builder(tmp_path / "index"), pytest.raises(InputError, match="another index folder"):
        command(tmp_path)
    hold = "import sys, time; from pathlib import Path; from embed.build import sole_builder\n"
    hold += "with sole_builder(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", hold, tmp_path / "index"], stdout=subprocess.PIPE, cwd=ROOT)
    assert other.stdout is not None and other.stdout.readline() == b"held\n"
    with pytest.raises(InputError, match="found one at work"):
        command(tmp_path)
    other.kill()
    other.wait()
    command(tmp_path)
    assert sorted(Index.open(tmp_path / "index").entries) == ["a", "b"]
