"""Schedule, moving average, saved state and prefetching."""

import ctypes
import itertools
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from tomoseek.files import keep_log_until, log_jsonl
from tomoseek.running import ahead
from tomoseek.training import Ema, cosine_learning_rate, load_state, save_state


def test_learning_rate_rises_to_its_peak_and_falls_to_its_floor() -> None:
    rates = [cosine_learning_rate(step, 100, 1.0, 10) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[100] == pytest.approx(0.01)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert rates[55] == pytest.approx(0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi / 2)))


def test_moving_average_of_a_constant_is_the_constant() -> None:
    module = nn.Linear(2, 2)
    ema = Ema(module, 0.9)
    expected = module.weight.detach().clone()
    for _ in range(5):
        ema.update(module)
    torch.testing.assert_close(ema.module.weight, expected)
    with torch.no_grad():
        module.weight.fill_(7.0)
    for _ in range(300):
        ema.update(module)
    torch.testing.assert_close(ema.module.weight, torch.full((2, 2), 7.0))


def test_moving_average_is_warmed_up_and_copies_buffers() -> None:
    module = nn.BatchNorm1d(1)  # weight 1
    ema = Ema(module, 0.25)
    assert not ema.module.training and not any(p.requires_grad for p in ema.module.parameters())
    with torch.no_grad():
        module.weight.fill_(12.0)
        module.running_mean.fill_(5.0)
    ema.update(module)
    assert ema.module.weight.item() == pytest.approx(2 / 11 * 1 + 9 / 11 * 12)
    assert ema.module.running_mean.item() == 5.0
    before = ema.module.weight.item()
    ema.update(module)  # 3 / 12 is the decay itself
    ema.update(module)  # 4 / 13 is more
    assert ema.module.weight.item() == pytest.approx(12 - (12 - before) / 16)
    assert ema.num_updates == 3


def test_saved_optimizer_state_goes_on_exactly(tmp_path: Path) -> None:
    def step(module: nn.Linear, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        module(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()

    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)
    for _ in range(3):
        step(module, optimizer)
    state = {"model": module.state_dict(), "optimizer": optimizer.state_dict()}
    save_state(tmp_path / "state.safetensors", state, {"step": 3})

    other = nn.Linear(3, 2)
    other_optimizer = torch.optim.AdamW(other.parameters(), lr=0.5)
    loaded, meta = load_state(tmp_path / "state.safetensors")
    other.load_state_dict(loaded["model"])
    other_optimizer.load_state_dict(loaded["optimizer"])
    assert meta == {"step": 3}
    for _ in range(3):
        step(module, optimizer)
        step(other, other_optimizer)
    assert torch.equal(module.weight, other.weight)


def test_nested_states_come_back_with_views_numbers_and_keys_of_any_kind(tmp_path: Path) -> None:
    one = torch.arange(6.0).reshape(2, 3)
    save_state(tmp_path / "state.safetensors", {"a": one, "b": [one[0], {3: one.T}, 2, None], "c/d": {"e": 0.5}}, {})
    back, _ = load_state(tmp_path / "state.safetensors")
    assert torch.equal(back["a"], one) and torch.equal(back["b"][0], one[0]) and torch.equal(back["b"][1][3], one.T)
    assert back["b"][2:] == [2, None] and back["c/d"] == {"e": 0.5}


def test_an_interrupted_save_leaves_the_state_before_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.safetensors"
    save_state(path, {"a": torch.ones(1)}, {"step": 1})

    def full_disk(tensors: object, filename: Path, metadata: object) -> None:
        Path(filename).write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr("tomoseek.training.save_file", full_disk)
    with pytest.raises(OSError, match="disk full"):
        save_state(path, {"a": torch.zeros(1)}, {"step": 2})
    assert load_state(path)[1] == {"step": 1}
    assert [left.name for left in tmp_path.iterdir()] == [path.name]


def test_log_is_cut_where_a_resumed_run_begins(tmp_path: Path) -> None:
    for step in range(5):
        log_jsonl(tmp_path / "log.jsonl", {"step": step})
    keep_log_until(tmp_path / "log.jsonl", 3)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 3


def test_prefetching_keeps_order_and_passes_errors_on() -> None:
    with ahead(iter(range(20))) as items:
        assert list(items) == list(range(20))

    def broken() -> object:
        yield 1
        raise OSError("disk gone")

    with ahead(broken()) as items, pytest.raises(OSError, match="disk gone"):  # type: ignore[arg-type]
        list(items)


def test_prefetching_can_be_left_early() -> None:
    with ahead(iter(range(10**9))) as items:
        assert next(iter(items)) == 0


def test_prefetching_draws_two_ahead_and_no_more() -> None:
    drawn: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), ahead(numbers()) as items:
        assert [next(items), next(items)] == [0, 1]
        while len(drawn) < 4:
            time.sleep(0.01)
        time.sleep(0.1)
        assert drawn == [0, 1, 2, 3]
        raise KeyboardInterrupt
    assert drawn == [0, 1, 2, 3] and threading.active_count() == before


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_freed_memory_is_kept_for_the_next_step() -> None:
    words = """
import resource, sys, torch
from tomoseek.training import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
torch.set_num_threads(1)
def step():
    return sum(float(torch.ones(20_000_000).sum()) for _ in range(4))
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    given_back, kept = (
        int(subprocess.run([sys.executable, "-c", words, how], capture_output=True, text=True, check=True).stdout)
        for how in ("plain", "keep")
    )
    assert kept < 0.1 * given_back
