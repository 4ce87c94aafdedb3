"""The trial of a GPU does every part once, goes on where it was, and ends in time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.__main__ import steps_per_second
from benchmarks.gpu.parts import FULL, Trial

ROOT = Path(__file__).resolve().parent.parent


def trial(out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu", "--out", str(out), *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_part_is_done_once_and_reported(tmp_path: Path) -> None:
    first = trial(tmp_path, "--tiny", "--device", "cpu")
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-1000:]
    done = json.loads((tmp_path / "results.json").read_text())["stages"]
    assert list(done) == [part.name for part in Trial(folder=tmp_path, sizes=FULL, device="cpu").parts()]
    for name in ("pretrain_masked", "pretrain_metric", "finetune", "predict", "embed"):
        assert 0 < done[name]["share_of_products"] < 1
        assert f"| {name} | {done[name]['seconds']:.1f} |" in (tmp_path / "report.md").read_text()
    again = trial(tmp_path, "--tiny", "--device", "cpu")
    assert again.returncode == 0
    assert again.stdout.count(": done before") == len(done)
    assert json.loads((tmp_path / "results.json").read_text())["stages"] == done


def test_parts_for_which_no_time_is_left_are_named(tmp_path: Path) -> None:
    done = trial(tmp_path, "--tiny", "--device", "cpu", "--minutes", "0")
    assert done.returncode == 3
    assert "no time was left for tests, simulate, work, pretrain_masked" in done.stderr


def test_speed_is_that_of_the_second_half(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    lines = [{"step": step, "seconds": 100 + step if step < 10 else 110 + 2 * (step - 10)} for step in range(20)]
    log.write_text("\n".join(json.dumps(line) for line in [*lines, {"step": 19, "validation": 1.0}]))
    assert steps_per_second(log) == pytest.approx(0.5, rel=0.06)
