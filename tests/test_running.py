"""Number formats, waiting threads and time limits: what suits the machine, or what the user says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_finetune_runs import make_project, train_settings
from torch import nn

from finetune.settings import find_labels
from finetune.state import TrainingState
from finetune.train import LOG, fit
from tomoseek.errors import InputError
from tomoseek.running import (
    CPU_BFLOAT16,
    PRECISION_VARIABLE,
    autocast,
    cpu_flags,
    describe_precision,
    loss_scaler,
    precision,
)  # fmt: skip
from tomoseek.training import Ema

CPU = torch.device("cpu")
STEPS = 4
ROOT = Path(__file__).resolve().parent.parent
SPINS = "10000"


def product_dtype() -> torch.dtype:
    """The format in which a matrix product comes out under `autocast`."""
    with autocast(CPU):
        return (torch.ones(4, 4) @ torch.ones(4, 4)).dtype


@pytest.mark.parametrize("word", ["", "auto"])
def test_a_cpu_computes_in_bfloat16_where_it_has_a_unit_for_it(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PRECISION_VARIABLE, word)
    has_unit = bool(CPU_BFLOAT16 & cpu_flags())
    assert precision(CPU) is product_dtype() is (torch.bfloat16 if has_unit else torch.float32)
    reason = "has a unit for bfloat16" if has_unit else "has no unit for bfloat16"
    assert reason in describe_precision(CPU)
    assert not loss_scaler(CPU).is_enabled()


@pytest.mark.parametrize("word", ["float32", "bfloat16"])
def test_the_environment_overrides_the_format(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PRECISION_VARIABLE, word)
    assert precision(CPU) is product_dtype() is getattr(torch, word)
    assert describe_precision(CPU).startswith(f"networks in {word}")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("half", "expected auto, float32, bfloat16, float16, found 'half'"),
        ("float16", "that the cpu can compute in, found 'float16'; set float32"),
    ],
)
def test_a_format_that_is_unknown_or_impossible_is_refused(
    word: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PRECISION_VARIABLE, word)
    with pytest.raises(InputError, match=f"^{PRECISION_VARIABLE}: .*{re.escape(message)}"):
        autocast(CPU)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"), runs=("a1",))


def small_network() -> nn.Module:
    """Heatmaps of one class at stride 2; the same weights each time."""
    torch.manual_seed(0)
    return nn.Conv3d(1, 1, 4, stride=2, padding=1)


def state_at(folder: Path, scaler: torch.amp.GradScaler) -> TrainingState:
    network = small_network()
    groups = [{"params": network.parameters(), "scale": 1.0}]
    return TrainingState(folder / "state", {}, network, Ema(network, 0.9), torch.optim.AdamW(groups), scaler)


def scaler_of(scale: float, every: int = 2000) -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=every)


@pytest.mark.filterwarnings("ignore:only 6 labels")
def test_scaled_losses_train_the_same_weights_and_are_scaled_alike_after_a_pause(project: Path, tmp_path: Path) -> None:
    words = ("classes=[ball]", "batch_size=1")
    labels = find_labels(train_settings(project, tmp_path, *words))

    def trained(name: str, scaler: torch.amp.GradScaler, *stops: int) -> TrainingState:
        for stop in stops:
            state = state_at(tmp_path / name, scaler)
            state.take_up()
            fit(state, train_settings(project, tmp_path / name, *words, f"num_steps={stop}"), labels, CPU)
            scaler = scaler_of(1.0, every=3)  # all but the interval comes from the saved state
        return state

    plain = trained("plain", loss_scaler(CPU), STEPS)
    scaled = trained("scaled", scaler_of(2.0**10, every=3), STEPS)
    for ours, theirs in zip(plain.network.parameters(), scaled.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)  # powers of two round nothing
    assert scaled.scaler.get_scale() == 2.0**11  # three steps went well
    paused = trained("paused", scaler_of(2.0**10, every=3), 2, STEPS)
    assert paused.scaler.state_dict() == scaled.scaler.state_dict()


@pytest.mark.filterwarnings("ignore:only 6 labels")
def test_a_step_whose_scaled_gradients_overflow_is_left_out_and_the_scale_halved(project: Path, tmp_path: Path) -> None:
    config = train_settings(project, tmp_path, "classes=[ball]", "batch_size=1", "num_steps=1")
    state = state_at(tmp_path, scaler_of(2.0**10))
    next(state.network.parameters()).register_hook(lambda gradient: gradient * torch.inf)  # beyond float16
    fit(state, config, find_labels(config), CPU)
    assert state.step == 1 and state.scaler.get_scale() == 2.0**9
    for ours, first in zip(state.network.parameters(), small_network().parameters(), strict=True):
        assert torch.equal(ours, first)


@pytest.mark.filterwarnings("ignore:only 6 labels")
def test_steps_that_fit_into_a_time_limit_are_said_early_and_done_by_then(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("classes=[ball]", "batch_size=1", "num_steps=100000", "max_minutes=0.05", "log_every=1")
    config = train_settings(project, tmp_path, *words)
    state = state_at(tmp_path, loss_scaler(CPU))
    fit(state, config, find_labels(config), CPU)
    said = re.findall(r"s a step: about (\d+) of 100000 steps fit into max_minutes=0.05", capsys.readouterr().out)
    assert len(said) == 1 and 0.1 * state.step < int(said[0]) < 10 * state.step  # other processes come and go
    assert 2 < state.seconds < 10
    rates = [json.loads(line)["learning_rate"] for line in (tmp_path / LOG).read_text().splitlines()]
    assert rates[-1] < 0.1 * max(rates)


@pytest.mark.parametrize(
    ("code", "of_the_user", "expected"),
    [
        ("import tomoseek, torch", {}, SPINS),
        ("import pretrain, torch", {}, SPINS),
        ("import finetune, torch", {}, SPINS),
        ("import embed, faiss", {}, SPINS),
        ("import tomoseek, subprocess, sys; subprocess.run([sys.executable, '-c', 'import faiss'])", {}, SPINS),
        ("import embed, faiss", {"GOMP_SPINCOUNT": "7"}, "7"),
        ("import embed, faiss", {"OMP_WAIT_POLICY": "ACTIVE"}, "30000000000"),
        ("import torch, embed, faiss", {}, "300000"),
    ],
)  # fmt: skip
def test_openmp_waits_as_the_user_says_and_else_spins_only_shortly(
    code: str, of_the_user: dict[str, str], expected: str
) -> None:
    others = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**others, "OMP_DISPLAY_ENV": "VERBOSE", **of_the_user},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert set(re.findall("GOMP_SPINCOUNT = '(.*)'", done.stderr)) == {expected}  # as OpenMP read it
