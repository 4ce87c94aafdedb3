"""A trained picker in Python finds what the command finds."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from test_finetune_predict import RADII, SIZE, checkpoint, make_noise, predict_settings

from finetune import load_picker, predict
from finetune.picking import detect_config
from tomoseek.errors import InputError
from tomoseek.picks.copick_picks import read_picks
from tomoseek.tomograms.copick_tomograms import find_tomograms
from tomoseek.tomograms.project import open_project
from tomoseek.tomograms.tomogram import Tomogram


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_noise(tmp_path_factory.mktemp("project"))


@pytest.mark.parametrize("members", [1, 2])
def test_a_picker_in_python_finds_what_the_command_writes(project, tmp_path, members):
    folders = [checkpoint(tmp_path / str(seed), seed, ["b"], project) for seed in range(members)]
    words = (f"checkpoint={folders[0]}", f"ensemble=[{','.join(map(str, folders[1:]))}]", "data.runs=[a]")
    config = predict_settings(project, tmp_path, *words, "thresholds={ball: 0.1}", "one_per_site=true")
    predict.run(config)
    picker = load_picker(folders, device="cpu")
    assert (picker.classes, picker.radii, picker.voxel_spacing) == (list(RADII), RADII, 10.0)
    assert picker.thresholds["shell"] == pytest.approx(0.3)
    (tomogram,) = find_tomograms(config.data)
    found = picker.pick(tomogram, {"ball": 0.1}, one_per_site=True, tile=[16, 32, 40], overlap=8)
    assert found.num_picks > 3
    for name in RADII:
        written = read_picks(open_project(project), "a", name, "tomoseek", "finetune")
        np.testing.assert_allclose(found["a", name].points_xyz, written.points_xyz, atol=1e-3)
        np.testing.assert_allclose(found["a", name].scores, written.scores, rtol=1e-6)
    found.to_csv(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "picks.csv").read_text()


def test_a_picker_in_python_searches_as_the_command_does_and_refuses_what_it_cannot_do(project, tmp_path):
    picker = load_picker(checkpoint(tmp_path, 0, [], project), device="cpu")
    assert detect_config({"flips": True}) == replace(predict_settings(project, tmp_path).detect, **{
        "flips": True, "tile": [64, 128, 128], "overlap": 16})  # fmt: skip
    tomogram = Tomogram.from_array(np.random.default_rng(0).normal(size=SIZE), voxel_spacing=13.5)
    with pytest.raises(InputError, match=r"10 Å per voxel.*found 13.5 Å"):
        picker.pick(tomogram, resample=None)
    with pytest.raises(InputError, match="found tiles"):
        picker.pick(tomogram, tiles=[16, 32, 40])
    with pytest.raises(InputError, match="at least one folder"):
        load_picker([])


def test_importing_the_package_waits_for_no_torch():
    code = "import sys, finetune; print('torch' in sys.modules, callable(finetune.load_picker))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True"]
