"""Particles set into unlabeled tomograms, and an encoder adapted to them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pretrain.implant import implant
from tomoseek.command_line import Command, launch
from tomoseek.complexes import COMPLEXES
from tomoseek.config import Polarity
from tomoseek.geometry import points_to_indices
from tomoseek.network.weights import load_encoder
from tomoseek.simulate import MicroscopeConfig, builtin_density
from tomoseek.tomograms.copick_tomograms import add_tomogram
from tomoseek.tomograms.project import create_project
from tomoseek.tomograms.tomogram import Tomogram


def noise(seed: int, shape: tuple[int, int, int] = (48, 72, 72), spacing: float = 10.0) -> Tomogram:
    array = np.random.default_rng(seed).normal(3.0, 2.0, shape).astype(np.float32)
    return Tomogram(
        run=f"noise{seed}", tomogram_type="wbp", voxel_spacing=spacing, array=array, polarity=Polarity.dark,
        source="memory",
    )  # fmt: skip


def implanted(source: tuple[Tomogram, ...], contrast: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    density = {"ribosome": builtin_density("ribosome", source[0].voxel_spacing)}
    halves, points = implant(
        source, density, {"ribosome": 3}, [48, 72, 72], MicroscopeConfig(), contrast, 0, torch.device("cpu")
    )
    return halves, points_to_indices(points["ribosome"], source[0].voxel_spacing)


def test_what_is_added_is_brightest_where_the_points_say() -> None:
    halves, points = implanted((noise(0), noise(1)))
    assert len(points) >= 2
    around = [halves.mean(0)[tuple(slice(round(c) - 3, round(c) + 4) for c in point)].mean() for point in points]
    assert min(around) > 5 * abs(halves.mean())
    assert min(around) > 1.5


def test_both_halves_get_the_same_particles_and_keep_their_own_noise() -> None:
    source = (noise(0), noise(1))
    halves, _ = implanted(source)
    own = [tomogram.crop((0, 0, 0), tomogram.shape) for tomogram in source]
    np.testing.assert_allclose(halves[0] - own[0], halves[1] - own[1], atol=1e-4)
    assert (halves[0] - own[0]).std() == pytest.approx(2.0, rel=0.01)


def test_a_tomogram_smaller_than_the_scene_gives_a_smaller_scene() -> None:
    halves, _ = implanted((noise(0, (40, 66, 70)),))
    assert halves.shape == (2, 40, 64, 64)


def adapt(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    tiny = [
        "stage=metric", "model=tiny", "device=cpu", "crop=32", "batch_size=2", "num_steps=2", "metric.scene=[32,64,64]",
        "metric.classes_per_scene=3", "metric.particles_per_class=4", "metric.pool=1", "metric.implant_share=1",
    ]  # fmt: skip
    monkeypatch.setattr("sys.argv", ["pretrain", *tiny, *words])
    launch(Command("pretrain", "pretrain.loop", ""))


def test_an_adapted_encoder_takes_the_voxel_spacing_of_the_tomograms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = create_project(tmp_path / "project", [COMPLEXES["ribosome"]])
    add_tomogram(root, "one", "wbp", 7.84, noise(0).read())
    as_it_is = "data.resample=null"
    adapt(monkeypatch, f"data.project={tmp_path / 'project/copick.json'}", f"out_dir={tmp_path / 'out'}", as_it_is)
    assert load_encoder(str(tmp_path / "out")).config.voxel_spacing == pytest.approx(7.84)
    assert np.isfinite(json.loads((tmp_path / "out/log.jsonl").read_text().splitlines()[0])["loss"])


def test_tomograms_are_brought_to_the_voxel_spacing_of_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = create_project(tmp_path / "project", [COMPLEXES["ribosome"]])
    add_tomogram(root, "one", "wbp", 7.84, noise(0).read())
    add_tomogram(root, "two", "wbp", 13.5, noise(1).read())
    adapt(monkeypatch, f"data.project={tmp_path / 'project/copick.json'}", f"out_dir={tmp_path / 'out'}")
    assert load_encoder(str(tmp_path / "out")).config.voxel_spacing == 10.0


def test_tomograms_of_two_spacings_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = create_project(tmp_path / "project", [COMPLEXES["ribosome"]])
    add_tomogram(root, "one", "wbp", 7.84, noise(0).read())
    add_tomogram(root, "two", "wbp", 13.5, noise(1).read())
    with pytest.raises(SystemExit) as exit_info:
        project, out_dir = f"data.project={tmp_path / 'project/copick.json'}", f"out_dir={tmp_path / 'out'}"
        adapt(monkeypatch, project, out_dir, "data.resample=null")
    assert exit_info.value.code == 2
    assert "expected tomograms of one voxel spacing, found 7.84 to 13.5" in capsys.readouterr().err
