"""Both stages end to end on tiny data: they learn, resume exactly and run in two processes."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tomoseek.complexes import COMPLEXES
from tomoseek.tomograms.copick_tomograms import add_tomogram
from tomoseek.tomograms.project import create_project

TINY = ["model=tiny", "device=cpu", "crop=32", "batch_size=4", "warmup_steps=2", "log_every=1"]
METRIC = [
    "stage=metric", "metric.scene=[32,64,64]", "metric.classes_per_scene=3", "metric.particles_per_class=4",
    "metric.pool=1", "metric.refresh_every=100", "metric.snr=[0.5,0.5]", "metric.margin=4",
    "metric.calibrate=false", "metric.masked_weight=0.5", "masked.decoder_width=24", "masked.decoder_heads=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tomograms of dark blobs in noise, as two halves each."""
    folder = tmp_path_factory.mktemp("blobs")
    root = create_project(folder, [COMPLEXES["ribosome"]], "blobs")
    random = np.random.default_rng(0)
    for run in ("one", "two"):
        grid = np.stack(np.meshgrid(*[np.arange(n) for n in (32, 64, 64)], indexing="ij"), -1)
        clean = np.zeros((32, 64, 64), np.float32)
        for centre in random.uniform(8, 24, (12, 3)) * [1, 2.5, 2.5]:
            clean -= 4 * np.exp(-((grid - centre) ** 2).sum(-1) / 30)
        for half in ("wbp-even", "wbp-odd"):
            noise = random.normal(size=clean.shape).astype(np.float32)
            add_tomogram(root, run, half, 10.0, clean + noise)
    return folder / "copick.json"


def pretrain(*words: str, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *launcher, "pretrain", *TINY, *words], capture_output=True, text=True)


def masked(project: Path) -> list[str]:
    return ["stage=masked", f"data.project={project}", "half_types=[wbp-even,wbp-odd]"]


def losses(folder: Path) -> list[float]:
    log = folder / "log.jsonl"
    return [json.loads(line)["loss"] for line in log.read_text().splitlines()] if log.exists() else []


def test_masked_loss_falls(project: Path, tmp_path: Path) -> None:
    done = pretrain(*masked(project), f"out_dir={tmp_path}", "num_steps=40", "learning_rate=3e-3")
    assert done.returncode == 0, done.stderr
    assert np.mean(losses(tmp_path)[-5:]) < 0.85 * np.mean(losses(tmp_path)[:5])


@pytest.mark.parametrize("stage", ["masked", "metric"])
def test_a_run_told_to_end_goes_on_where_it_was_and_equals_an_uninterrupted_one(
    stage: str, project: Path, tmp_path: Path
) -> None:
    words = masked(project) if stage == "masked" else METRIC
    whole = pretrain(*words, f"out_dir={tmp_path / 'whole'}", "num_steps=6")
    assert whole.returncode == 0, whole.stderr
    out = tmp_path / "halting"
    killed = subprocess.Popen(
        [sys.executable, "-m", "pretrain", *TINY, *words, f"out_dir={out}", "num_steps=6"], stderr=subprocess.DEVNULL
    )
    while len(losses(out)) < 3 and killed.poll() is None:
        time.sleep(0.02)
    killed.terminate()
    assert killed.wait() in (143, 0)  # 0 where it was done before
    again = pretrain(*words, f"out_dir={out}", "num_steps=6")
    assert again.returncode == 0, again.stderr
    assert "going on at step" in again.stdout or "already trained" in again.stdout
    assert losses(out) == losses(tmp_path / "whole")
    expected, found = (load_file(folder / "encoder.safetensors") for folder in (tmp_path / "whole", out))
    assert all(np.array_equal(expected[key], found[key]) for key in expected)


def test_finished_run_is_not_repeated_and_other_settings_are_refused(project: Path, tmp_path: Path) -> None:
    words = [*masked(project), f"out_dir={tmp_path}", "num_steps=2"]
    assert pretrain(*words).returncode == 0
    again = pretrain(*words)
    assert "nothing to do" in again.stdout
    other = pretrain(*words, "learning_rate=1e-4")
    assert other.returncode == 2
    assert "learning_rate" in other.stderr and "resume=false" in other.stderr


def test_run_goes_on_when_it_is_made_longer(project: Path, tmp_path: Path) -> None:
    words = [*masked(project), f"out_dir={tmp_path}"]
    assert pretrain(*words, "num_steps=2").returncode == 0
    first = losses(tmp_path)
    longer = pretrain(*words, "num_steps=4")
    assert "going on at step 2 of 4" in longer.stdout, longer.stderr
    assert losses(tmp_path)[:2] == first and len(losses(tmp_path)) == 4


def test_two_processes_train_together(project: Path, tmp_path: Path) -> None:
    launcher = ("accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1", "-m")
    done = pretrain(*masked(project), f"out_dir={tmp_path}", "num_steps=3", launcher=launcher)
    assert done.returncode == 0, done.stderr
    assert len(losses(tmp_path)) == 3
    assert (tmp_path / "encoder.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stage=masked"], "data.project"),
        (["stage=masked", "data.project=nowhere.json"], "nowhere.json"),
        (["stage=metric", "metric.margin=40"], "metric.margin"),
        (["stage=metric", "metric.implant_contrast=[0,0.3]"], "metric.implant_contrast"),
        (["stage=metric", "batch_size=many"], "batch_size"),
        (["stage=metric", "no_such_setting=1"], "no_such_setting"),
    ],
)
def test_bad_settings_give_one_line_and_exit_code_2(words: list[str], message: str, tmp_path: Path) -> None:
    done = pretrain(*words, f"out_dir={tmp_path}")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_half_lists_the_types_there_are(project: Path, tmp_path: Path) -> None:
    words = [*masked(project)[:2], "half_types=[wbp-first,wbp-second]", f"out_dir={tmp_path}"]
    done = pretrain(*words)
    assert done.returncode == 2
    assert "wbp-even" in done.stderr
