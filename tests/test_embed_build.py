"""Building an index: every cell once, resumed after a kill, refused for another encoder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from embed.build import BuildConfig
from embed.build import run as run_build
from embed.dense import grid_shape
from embed.index import Index
from tomoseek.command_line import compose_settings
from tomoseek.complexes import Complex
from tomoseek.config import DataConfig, Polarity
from tomoseek.errors import IncompleteError, InputError
from tomoseek.network.encoder import Encoder
from tomoseek.network.weights import fingerprint, load_encoder, random_encoder
from tomoseek.tomograms.copick_tomograms import add_tomogram, find_tomograms
from tomoseek.tomograms.project import create_project
from tomoseek.tomograms.tomogram import Tomogram

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
    return Index.create(folder, encoder, tile=48, device="cpu")


def build(folder: Path, encoder: Encoder, tomograms: list[Tomogram]) -> int:
    """Build an index and return how many runs were new."""
    index = start(folder, encoder)
    return sum(index.add(tomogram, progress=False) for tomogram in tomograms)


def test_every_cell_is_stored_once_as_a_unit_vector(
    tmp_path: Path, encoder: Encoder, tomograms: list[Tomogram]
) -> None:
    build(tmp_path / "index", encoder, tomograms[:1])
    shard = Index.open(tmp_path / "index").shard("a")
    num_cells = int(np.prod(grid_shape((20, 45, 50))))
    rows = np.arange(num_cells)
    assert len(np.unique(shard.cells_zyx(rows), axis=0)) == len(shard) == num_cells
    norms = np.linalg.norm(shard.read_vectors(rows), axis=1)
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
    (stopped / ".b.partial").mkdir()
    (stopped / ".b.partial" / "vectors.faiss").write_bytes(b"half")
    assert build(stopped, encoder, tomograms) == 1
    assert "run a: reused" in capsys.readouterr().out
    assert sorted(path.name for path in stopped.iterdir()) == sorted(path.name for path in whole.iterdir())
    for name in ("a/vectors.faiss", "b/vectors.faiss", "b/cells.npy", "b/rows.npy", "b/particle.npy"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()


def test_changed_tomogram_or_lost_file_is_embedded_again(
    tmp_path: Path, encoder: Encoder, tomograms: list[Tomogram]
) -> None:
    folder = tmp_path / "index"
    assert build(folder, encoder, tomograms) == 2
    assert build(folder, encoder, tomograms) == 0
    (folder / "a" / "cells.npy").unlink()
    assert build(folder, encoder, tomograms) == 1
    (folder / "a" / "entry.json").write_text("{")
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
    with pytest.raises(InputError, match="storage=int8"):
        Index.create(folder, encoder, storage="float16", tile=48, device="cpu")
    assert (folder / "index.json").read_text() == before
    assert json.loads(before)["fingerprint"] == fingerprint(encoder)


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
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == [".claims", "a", "index.json"]


def test_what_the_build_did_not_make_is_never_deleted(tmp_path: Path, tomograms: list[Tomogram]) -> None:
    own = [tmp_path / "index" / "notes" / "mine.txt", tmp_path / "index" / "a" / "raw.mrc"]
    for path in own:
        path.parent.mkdir(parents=True)
        path.write_text("precious")
    with pytest.raises(IncompleteError, match="'a' in it, which embed build did not make"):
        command(tmp_path)
    assert [path.read_text() for path in own] == ["precious"] * 2
    shutil.rmtree(own[1].parent)
    command(tmp_path)
    assert list(Index.open(tmp_path / "index").entries) == ["a", "b"]
    assert own[0].read_text() == "precious"


def test_builders_share_the_work_and_a_killed_one_blocks_nobody(
    tmp_path: Path, tomograms: list[Tomogram], capsys: pytest.CaptureFixture[str]
) -> None:
    hold = "import sys, time; from pathlib import Path; from embed.adding import claim\n"
    hold += "with claim(Path(sys.argv[1]), 'a') as mine: print(mine, flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", hold, tmp_path / "index"], stdout=subprocess.PIPE, cwd=ROOT)
    assert other.stdout is not None and other.stdout.readline() == b"True\n"
    with pytest.warns(match="another builder still has a;"):
        command(tmp_path)
    assert list(Index.open(tmp_path / "index").entries) == ["b"]
    other.kill()
    other.wait()
    command(tmp_path)
    assert list(Index.open(tmp_path / "index").entries) == ["a", "b"]


def test_accelerate_launch_shares_the_tomograms_between_processes(
    tmp_path: Path, tomograms: list[Tomogram], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"data.project={tmp_path / 'project'}", f"index={tmp_path / 'index'}", "encoder=random-tiny", "tile=48"]
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--main_process_port",
    ]
    done = subprocess.run(
        [*launch, "0", "-m", "embed", "build", *words], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("index ") == 1
    assert list(Index.open(tmp_path / "index").entries) == ["a", "b"]
    assert "run a: reused" not in done.stdout and "another builder" not in done.stdout
    capsys.readouterr()
    command(tmp_path)
    said = capsys.readouterr().out
    assert "run a: reused" in said and "run b: reused" in said


def test_killed_at_ten_random_moments_the_index_is_whole_and_goes_on(
    tmp_path: Path, encoder: Encoder, tomograms: list[Tomogram]
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    started = time.perf_counter()
    build(whole, encoder, tomograms)
    seconds = time.perf_counter() - started
    start(killed, encoder)
    moments = np.random.default_rng(0).uniform(0, 1.2 * seconds, 10)
    for moment in moments:
        child = os.fork()
        if child == 0:
            build(killed, encoder, tomograms)
            os._exit(0)
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        index = Index.open(killed)
        for run in index.entries:
            shard = index.shard(run)
            assert np.isfinite(shard.read_vectors(np.arange(len(shard)))).all()
    build(killed, encoder, tomograms)
    for name in ("a/vectors.faiss", "b/vectors.faiss", "b/rows.npy"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
