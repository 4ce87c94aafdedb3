"""A training that is told to end goes on later as if nothing had happened."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file
from test_finetune_runs import make_project, train_settings

from finetune import train
from finetune.state import STATE
from tomoseek.training import load_state

pytestmark = pytest.mark.filterwarnings("ignore:only 6 labels")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project"), runs=("a1", "b1"))


def test_a_training_told_to_end_goes_on_to_the_same_weights(project, tmp_path):
    words = ("num_steps=6", "batch_size=2", "classes=[ball]", "validate_every=3")
    whole, ended = (train_settings(project, tmp_path / name, *words) for name in ("whole", "ended"))
    train.run(whole)
    with pytest.raises(SystemExit) as stopped:
        train.run(ended, on_validation=lambda _step, _f4: signal.raise_signal(signal.SIGTERM))
    assert stopped.value.code == 143
    assert load_state(tmp_path / "ended" / STATE)[1]["step"] == 3
    train.run(ended)
    expected, found = (load_file(tmp_path / name / "finetune.safetensors") for name in ("whole", "ended"))
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    steps = [json.loads(line)["step"] for line in (tmp_path / "ended" / "train_log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


def test_a_process_that_is_killed_leaves_the_state_of_its_last_step(project, tmp_path):
    words = [f"data.project={project}", f"out_dir={tmp_path}", "encoder=random-tiny", "decoder_channels=[16,8]",
             "crops.size=[32,32,32]", "batch_size=1", "log_every=1", "device=cpu"]  # fmt: skip
    log = tmp_path / "train_log.jsonl"
    with subprocess.Popen(
        [sys.executable, "-m", "finetune", "train", *words], stderr=subprocess.PIPE, text=True
    ) as run:
        while run.poll() is None and not (log.exists() and len(log.read_text().splitlines()) >= 5):
            time.sleep(0.05)
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 143
    assert said.splitlines()[-1] == "stopped by SIGTERM; the same command goes on from here"
    logged = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert load_state(tmp_path / STATE)[1]["step"] - len(logged) in (0, 1)  # 1: killed between a step and its line
