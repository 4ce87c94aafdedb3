"""The demo: what it plans, how it runs, measures and reuses its stages."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_readme import check_command

from tomoseek.command_line import compose_settings
from tomoseek.complexes import CHALLENGE, COMPLEXES
from tomoseek.demo.command import draw_examples, run
from tomoseek.demo.plan import DemoConfig, plan
from tomoseek.demo.stages import Ledger, Stage, StageFailed, run_measured, run_stage, spoken_time
from tomoseek.errors import InputError
from tomoseek.picks.copick_picks import write_picks
from tomoseek.picks.points import Picks
from tomoseek.picks.tables import read_points_csv
from tomoseek.tomograms.copick_tomograms import add_tomogram
from tomoseek.tomograms.project import create_project

ROOT = Path(__file__).resolve().parent.parent


def demo_config(*words: str) -> DemoConfig:
    return compose_settings("demo", DemoConfig, words)


def writing_stage(folder: Path, text: str, name: str = "write", needs: tuple[str, ...] = ()) -> Stage:
    """A stage that appends to a file in a folder of its own, so that a second run would show."""
    code = f"import pathlib; p = pathlib.Path({str(folder / name)!r}); p.mkdir(exist_ok=True);"
    code += f"f = (p / 'file').open('a'); f.write({text!r})"
    words = ("python", "-c", code)
    return Stage(name=name, purpose="append", commands=(words,), outputs=(folder / name,), needs=needs)


@pytest.mark.parametrize("encoder", ["shipped", "null"])
def test_every_command_of_the_plan_is_understood(encoder: str) -> None:
    for stage in plan(demo_config(f"encoder={encoder}")):
        for words in stage.commands:
            check_command(shlex.join(words))


def test_the_new_complex_is_in_no_run_that_is_learned_from() -> None:
    config = demo_config("encoder=null")
    for stage in plan(config):
        for words in stage.commands:
            if {f"prefix={'train_'}", "train"} & set(words) or "pretrain" in words:
                assert not any(config.new_class in word for word in words)
            if stage.name in ("pretrain_masked", "pretrain_metric", "finetune"):
                assert not any(run in word for run in config.test_runs for word in words)


def test_random_control_differs_from_the_search_in_its_encoder_and_places_alone() -> None:
    stages = {stage.name: stage for stage in plan(demo_config())}
    search = [*stages["embed_build"].commands, *stages["search"].commands]
    control = stages["random_init"].commands
    assert len(search) == len(control)
    for ours, theirs in zip(search, control, strict=True):
        differing = {a.split("=")[0] for a, b in zip(ours, theirs, strict=True) if a != b}
        assert differing <= {"encoder", "index", "out_dir", "picks.session_id"}


def test_a_ready_encoder_replaces_pretraining() -> None:
    stages = plan(demo_config("encoder=somewhere"))
    assert not any(stage.name.startswith("pretrain") for stage in stages)
    used = [word for stage in stages for words in stage.commands for word in words if word.startswith("encoder=")]
    assert used == ["encoder=somewhere", "encoder=somewhere", "encoder=random-small"]


@pytest.mark.parametrize(
    ("word", "message"), [("new_class=ribosome", "not trained on"), ("simulate.num_test_runs=1", "at least 2")]
)
def test_settings_that_cannot_work_are_refused(word: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        demo_config(word)


def test_finished_stage_is_reused_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = writing_stage(tmp_path, "once ")
    assert run_stage(Ledger(tmp_path, {}), stage, "1/1")
    before = (tmp_path / "results.json").read_bytes()
    assert not run_stage(Ledger(tmp_path, {}), stage, "1/1")
    assert (tmp_path / "write" / "file").read_text() == "once "
    assert (tmp_path / "results.json").read_bytes() == before
    assert "reusing" in capsys.readouterr().out


def test_changed_settings_redo_the_stage_and_all_that_need_it(tmp_path: Path) -> None:
    for text in ("old", "new"):
        ledger = Ledger(tmp_path, {})
        first = writing_stage(tmp_path, text, "first")
        ran = [
            run_stage(ledger, stage, "")
            for stage in (
                first,
                writing_stage(tmp_path, "same", "second", needs=("first",)),
                writing_stage(tmp_path, "same", "third"),
            )
        ]
    assert ran == [True, True, False]
    assert (tmp_path / "first" / "file").read_text() == "new"
    assert (tmp_path / "second" / "file").read_text() == "same"


def test_lost_outputs_are_made_again(tmp_path: Path) -> None:
    stage = writing_stage(tmp_path, "x")
    run_stage(Ledger(tmp_path, {}), stage, "")
    shutil.rmtree(tmp_path / "write")
    assert run_stage(Ledger(tmp_path, {}), stage, "")


def test_failed_stage_keeps_what_was_before_and_its_own_unfinished_outputs(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, {})
    good = writing_stage(tmp_path, "kept", "good")
    run_stage(ledger, good, "")
    half = tmp_path / "half"
    code = f"import pathlib, sys; pathlib.Path({str(half)!r}).mkdir(exist_ok=True); sys.exit(3)"
    bad = Stage(name="bad", purpose="fail", commands=(("python", "-c", code),), outputs=(half,), needs=("good",))
    with pytest.raises(StageFailed, match="exit code 3"):
        run_stage(ledger, bad, "")
    again = Ledger(tmp_path, {})
    assert again.is_done(good) and not again.is_done(bad)
    assert half.exists()
    assert "bad" not in json.loads((tmp_path / "results.json").read_text())["stages"]


def test_memory_counts_the_command_together_with_its_children() -> None:
    child = "import time; block = b'x' * 150_000_000; time.sleep(1.5)"
    code = f"import subprocess, sys; block = b'x' * 150_000_000; subprocess.run([sys.executable, '-c', {child!r}])"
    exit_code, seconds, peak_memory_gb = run_measured(("python", "-c", code))
    assert exit_code == 0
    assert 1.4 < seconds < 60
    assert 0.3 < peak_memory_gb < 0.6


def test_time_is_spoken_in_minutes_and_seconds() -> None:
    assert [spoken_time(value) for value in (0.4, 59.6, 75.0)] == ["0 s", "1 min 0 s", "1 min 15 s"]


def test_examples_are_true_particles_of_the_first_test_run_and_the_same_each_time(tmp_path: Path) -> None:
    config = demo_config(f"out_dir={tmp_path}", "shots=3")
    root = create_project(tmp_path / "project", [COMPLEXES[name] for name in (*CHALLENGE, config.new_class)])
    truth = np.random.default_rng(1).uniform(100, 400, (9, 3)).round(2)
    for name in config.test_runs:
        add_tomogram(root, name, "wbp", 10.0, np.random.default_rng(0).normal(size=(16, 48, 48)))
        write_picks(root, name, config.new_class, Picks(truth), "simulator", "0")
    first = draw_examples(config).read_text()
    assert draw_examples(config).read_text() == first
    (name, picks), = read_points_csv(tmp_path / "examples.csv").items()  # fmt: skip
    assert name == config.test_runs[0]
    assert len(picks) == 3
    assert {tuple(point) for point in picks.points_xyz} <= {tuple(point) for point in truth}
    with pytest.raises(InputError, match="at most the 9"):
        draw_examples(demo_config(f"out_dir={tmp_path}", "shots=10"))


@pytest.mark.slow
def test_demo_runs_to_the_report_and_a_second_time_reuses_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few_steps = {"masked": ["batch_size=2", "crop=32"], "metric": ["batch_size=2", "metric.pool=1"]}
    few_steps["metric"].append("metric.scene=[64,96,96]")
    words = [
        f"out_dir={tmp_path / 'demo'}", "device=cpu", "encoder=null", "encoder_size=tiny", "shots=2",
        "simulate.num_train_runs=2", "simulate.num_test_runs=2", "simulate.size=[48,128,128]", "simulate.counts=4",
        "masked.num_steps=2", "metric.num_steps=2", "finetune.num_steps=2",
        *(f"{stage}.words={json.dumps(more, separators=(',', ':'))}" for stage, more in few_steps.items()),
    ]  # fmt: skip
    command = [sys.executable, "-m", "tomoseek", "demo", *words]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]
    results: dict[str, Any] = json.loads((tmp_path / "demo" / "results.json").read_text())
    expected = [stage.name for stage in plan(demo_config(*words))] + ["report"]
    assert list(results["stages"]) == expected
    for stage in results["stages"].values():
        assert stage["seconds"] > 0
        assert 0 < stage["peak_memory_gb"] < 16
    assert set(results["finetune"]["classes"]) == set(CHALLENGE)
    scores = {f"{kind}average_precision" for kind in ("", "structure_", "random_init_")}
    assert set(results["search"]) >= {"class", "shots", *scores}
    assert (tmp_path / "demo" / "report.html").stat().st_size > 100_000
    run(demo_config(*words))
    assert capsys.readouterr().out.count("   reusing ") == len(expected) - 1
