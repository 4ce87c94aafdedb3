"""finetune train, predict and evaluate on a tiny project of balls and shells."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from finetune import evaluate, predict, train
from finetune.__main__ import main
from finetune.checkpoint import load_description
from finetune.settings import TrainConfig, find_labels
from tomoseek.command_line import compose_settings
from tomoseek.complexes import Complex
from tomoseek.errors import InputError
from tomoseek.picks.copick_picks import read_picks, write_picks
from tomoseek.picks.points import Picks
from tomoseek.tomograms.copick_tomograms import add_tomogram
from tomoseek.tomograms.project import create_project, open_project

# Six labels of each class in a run are few, and the tests mean it.
pytestmark = pytest.mark.filterwarnings("ignore:only 6 labels", "ignore:run .. has no labels")

SPACING = 10.0
SIZE = (32, 72, 72)
CLASSES = {"ball": 60.0, "shell": 80.0}
RUNS = ("a1", "a2", "b1", "b2")


def scatter(generator: np.random.Generator, num_points: int) -> np.ndarray:
    """Points (z y x, voxels) at least 15 voxels apart, away from the faces."""
    points: list[np.ndarray] = []
    while len(points) < num_points:
        point = generator.uniform(8, np.array(SIZE) - 8)
        if all(np.linalg.norm(point - other) > 15 for other in points):
            points.append(point)
    return np.array(points)


def draw(points: dict[str, np.ndarray], generator: np.random.Generator) -> np.ndarray:
    """A noisy volume, protein dark: filled balls, hollow shells."""
    grid = np.stack(np.meshgrid(*map(np.arange, SIZE), indexing="ij"), axis=-1)
    volume = generator.standard_normal(SIZE) * 0.7
    for point in points["ball"]:
        volume -= 2.5 * (np.linalg.norm(grid - point, axis=-1) < 4)
    for point in points["shell"]:
        distance = np.linalg.norm(grid - point, axis=-1)
        volume -= 2.5 * ((distance > 4) & (distance < 6.5))
    return volume.astype(np.float32)


def make_project(folder: Path, runs: tuple[str, ...] = RUNS, num_each: int = 6) -> Path:
    root = create_project(folder, [Complex(name=n, radius_angstrom=r) for n, r in CLASSES.items()])
    for number, run in enumerate(runs):
        generator = np.random.default_rng(number)
        points = scatter(generator, 2 * num_each)
        by_class = {"ball": points[:num_each], "shell": points[num_each:]}
        add_tomogram(root, run, "wbp", SPACING, draw(by_class, generator))
        for name, places in by_class.items():
            write_picks(root, run, name, Picks(places[:, ::-1] * SPACING), "curator", "0")
    return folder / "copick.json"


def settings(command: str, schema: type, *words: str):
    """The command's own YAML with a few changes, as the command line would build it."""
    return compose_settings(f"finetune_{command}", schema, words)


def train_settings(project: Path, out_dir: Path, *words: str) -> TrainConfig:
    tiny = (
        "encoder=random-tiny", "decoder_channels=[32,16]", "crops.size=[32,32,32]", "num_steps=100",
        "warmup_steps=5", "ema_decay=0.9", "device=cpu",
    )  # fmt: skip
    return settings("train", TrainConfig, f"data.project={project}", f"out_dir={out_dir}", *tiny, *words)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def trained(project, tmp_path_factory):
    """A picker trained on a1 and a2, thresholds on b1; b2 untouched."""
    out_dir = tmp_path_factory.mktemp("trained")
    train.run(train_settings(project, out_dir, "data.runs=[a1,a2,b1]", "validation_runs=[b1]"))
    return out_dir


@pytest.fixture(scope="module")
def searched(project, trained):
    """The same with all runs predicted."""
    words = (
        f"data.project={project}",
        f"checkpoint={trained}",
        f"out_dir={trained}",
        "detect.overlap=8",
        "device=cpu",
    )
    predict.run(settings("predict", predict.PredictConfig, *words))
    return trained


def evaluate_settings(project: Path, folder: Path, *words: str) -> evaluate.EvaluateConfig:
    places = (f"data.project={project}", f"checkpoint={folder}", f"candidates={folder}", f"out_dir={folder}")
    return settings("evaluate", evaluate.EvaluateConfig, *places, *words)


def test_loss_falls(trained):
    lines = map(json.loads, (trained / "train_log.jsonl").read_text().splitlines())
    losses = [line["loss"] for line in lines if "loss" in line]
    assert np.mean(losses[-4:]) < 0.5 * np.mean(losses[:4])


def test_particles_of_an_unseen_run_are_found_and_told_apart(project, searched):
    evaluate.run(evaluate_settings(project, searched, "data.runs=[b2]"))
    result = json.loads((searched / "evaluation.json").read_text())
    assert result["settings"]["curves_from"] == "candidates"
    for name in CLASSES:
        assert result["classes"][name]["f4"] > 0.7
        assert result["classes"][name]["average_precision"] > 0.7
    assert result["weighted_f4"] == pytest.approx(np.mean([result["classes"][name]["f4"] for name in CLASSES]))


def test_found_positions_are_good_to_a_voxel(project, searched):
    root = open_project(project)
    truth = read_picks(root, "b2", "ball", "curator").points_xyz
    found = read_picks(root, "b2", "ball", "tomoseek", "finetune").points_xyz
    nearest = np.linalg.norm(truth[:, None] - found[None], axis=-1).min(axis=1)
    assert np.median(nearest) < SPACING


def test_picks_carry_scores_above_the_threshold(project, searched):
    thresholds = load_description(searched).thresholds
    picks = read_picks(open_project(project), "b2", "shell", "tomoseek", "finetune")
    assert len(picks) and picks.scores.min() >= thresholds["shell"] and picks.scores.max() <= 1


def test_thresholds_come_from_held_out_runs_only(trained):
    description = load_description(trained)
    assert description.radii == CLASSES
    assert [run["run"] for run in description.training_runs] == ["a1", "a2"]
    assert [run["run"] for run in description.threshold_runs] == ["b1"]


@pytest.mark.parametrize("run", ["a1", "b1"])
def test_evaluate_refuses_runs_used_for_weights_or_thresholds(project, searched, run):
    with pytest.raises(InputError, match=rf"found {run} .*allow_training_runs=true"):
        evaluate.run(evaluate_settings(project, searched, f"data.runs=[{run},b2]"))


def test_evaluate_recognises_a_training_run_under_another_name(searched, tmp_path):
    copy = make_project(tmp_path, runs=("renamed",))
    root = open_project(copy)
    for name in CLASSES:
        write_picks(root, "renamed", name, Picks(np.zeros((0, 3))), "tomoseek", "finetune")
    with pytest.raises(InputError, match="found renamed"):
        evaluate.run(evaluate_settings(copy, searched))


def test_evaluate_without_a_list_scores_the_unseen_runs(project, searched):
    evaluate.run(evaluate_settings(project, searched))
    assert json.loads((searched / "evaluation.json").read_text())["runs"] == ["b2"]


def test_evaluate_says_so_when_training_runs_are_scored(project, searched, tmp_path, capsys):
    words = ("data.runs=[a1]", "allow_training_runs=true", f"out_dir={tmp_path}")
    evaluate.run(evaluate_settings(project, searched, *words))
    assert "NOT A TEST" in capsys.readouterr().out
    assert json.loads((tmp_path / "evaluation.json").read_text())["settings"]["runs_seen_in_training"] == ["a1"]


def test_a_finished_training_is_reused_and_another_setting_is_refused(project, trained, capsys):
    words = ("data.runs=[a1,a2,b1]", "validation_runs=[b1]")
    train.run(train_settings(project, trained, *words))
    assert "already complete" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"other settings.*learning_rate"):
        train.run(train_settings(project, trained, *words, "learning_rate=1e-4"))


def test_three_picks_warn_and_train(tmp_path):
    project = make_project(tmp_path / "few", runs=("only",), num_each=3)
    few = train_settings(project, tmp_path / "out", "num_steps=2", "batch_size=2")
    with pytest.warns(UserWarning) as caught:
        train.run(few)
    messages = " ".join(str(entry.message) for entry in caught)
    assert "only 3 labels of ball" in messages and "no run is held out" in messages
    description = load_description(tmp_path / "out")
    assert description.provenance["thresholds_held_out"] is False
    assert [run["run"] for run in description.threshold_runs] == ["only"]


def test_own_predictions_are_no_labels(project, searched):
    labels = find_labels(train_settings(project, searched))
    assert [len(run.points_xyz["ball"]) for run in labels.training + labels.held_out] == [6] * len(RUNS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("classes=[ribosome]",), r"'ribosome'.* no particle of the project .ball, shell"),
        (("validation_runs=[zz]",), "'zz' is no labelled run; labelled: a1, a2, b1, b2"),
        (("data.runs=[a1]", "validation_runs=[a1]"), "none is left to train on"),
        (("picks.user_id=nobody",), "user_id=nobody.*found none"),
    ],
)
def test_bad_input_to_train_is_named(project, tmp_path, words, message):
    with pytest.raises(InputError, match=message):
        train.run(train_settings(project, tmp_path, *words))


def test_picks_outside_the_volume_are_refused(tmp_path):
    project = make_project(tmp_path / "project", runs=("a",))
    root = open_project(project)
    write_picks(root, "a", "ball", Picks(np.array([[10.0, 10.0, 5000.0]])), "curator", "1")
    with pytest.raises(InputError, match=r"ball.*run a"):
        train.run(train_settings(project, tmp_path / "out"))


def test_a_loss_that_is_not_finite_stops_with_its_step(project, tmp_path):
    words = ("data.runs=[a1,a2]", "learning_rate=1e30", "warmup_steps=1")
    with pytest.raises(FloatingPointError, match=r"at step [1-9]"):
        train.run(train_settings(project, tmp_path, *words))


def test_predict_refuses_another_voxel_spacing(searched, tmp_path):
    root = create_project(tmp_path, [])
    add_tomogram(root, "coarse", "wbp", 13.5, np.random.default_rng(0).normal(size=SIZE).astype(np.float32))
    words = (f"data.project={tmp_path}", f"checkpoint={searched}", f"out_dir={tmp_path}")
    words = (*words, "data.resample=null")
    with pytest.raises(InputError, match=r"coarse.*10 Å per voxel.*found 13.5 Å"):
        predict.run(settings("predict", predict.PredictConfig, *words))


def test_predict_refuses_a_threshold_of_an_unknown_class(project, searched, tmp_path):
    words = (
        f"data.project={project}",
        f"checkpoint={searched}",
        f"out_dir={tmp_path}",
        "thresholds={cube: 0.5}",
    )
    with pytest.raises(InputError, match=r"'cube' is no class.*ball, shell"):
        predict.run(settings("predict", predict.PredictConfig, *words))


def test_bad_input_ends_the_command_with_code_2_and_one_line(project, tmp_path):
    command = [sys.executable, "-m", "finetune", "train", f"data.project={project}", f"out_dir={tmp_path}"]
    done = subprocess.run([*command, "classes=[cube]"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "'cube'" in done.stderr and "ball, shell" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_command_line_trains_predicts_and_evaluates(tmp_path, monkeypatch):
    project, out_dir = make_project(tmp_path / "project", runs=("a1", "a2", "b1")), tmp_path / "out"
    place = (f"data.project={project}", f"out_dir={out_dir}")
    tiny = ("encoder=random-tiny", "decoder_channels=[16,8]", "crops.size=[32,32,32]", "num_steps=3")
    for words in (
        ("train", *place, *tiny, "batch_size=2", "data.runs=[a1,a2]"),
        ("predict", *place, f"checkpoint={out_dir}", "data.runs=[b1]", "thresholds={ball: 0.3}"),
        ("evaluate", *place, f"checkpoint={out_dir}", f"candidates={out_dir}", "data.runs=[b1]"),
    ):
        monkeypatch.setattr(sys, "argv", ["finetune", *words])
        main()
    assert {"picks.csv", "ball.star", "evaluation.json"} <= {path.name for path in out_dir.iterdir()}
