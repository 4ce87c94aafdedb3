"""Stages of the demo: commands run as a user would type them, measured, recorded, reused when done before."""

import hashlib
import json
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tomoseek.files import atomic_write_json

SAMPLE_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A step of the demo.

    Parameters
    ----------
    name, purpose
        Its key in ``results.json`` and what it does, in a sentence.
    commands
        Each a list of words as typed in a shell, beginning with ``python`` or ``accelerate``.
    outputs
        Files and folders it alone writes; without them it counts as not done.
    needs
        Names of the stages whose results it reads: when one of those changes, this one is done again.
    """

    name: str
    purpose: str
    commands: tuple[tuple[str, ...], ...]
    outputs: tuple[Path, ...]
    needs: tuple[str, ...] = ()


class StageFailed(Exception):
    """A command of a stage ended with an error, which it has already printed."""


class Ledger:
    """What is done in ``out_dir``: figures in ``results.json``, and in ``state.json`` by which commands.

    Parameters
    ----------
    out_dir
        The demo's folder.
    results
        First content of ``results.json``; the stages recorded earlier are kept.
    """

    def __init__(self, out_dir: Path, results: dict[str, Any]) -> None:
        self.results_path, self.state_path = out_dir / "results.json", out_dir / "state.json"
        before = json.loads(self.results_path.read_text()) if self.results_path.exists() else {}
        self.results: dict[str, Any] = {**before, **results, "stages": before.get("stages", {})}
        self.state: dict[str, dict[str, Any]] = (
            json.loads(self.state_path.read_text()) if self.state_path.exists() else {}
        )
        self.keys: dict[str, str] = {}

    def key(self, stage: Stage) -> str:
        """Hash of the stage's commands and of the keys of all it needs."""
        content = json.dumps([stage.commands, [self.keys.get(name) for name in stage.needs]])
        self.keys[stage.name] = hashlib.sha256(content.encode()).hexdigest()[:16]
        return self.keys[stage.name]

    def is_done(self, stage: Stage) -> bool:
        """Say whether these very commands ran to the end and what they wrote is still there."""
        record = self.state.get(stage.name, {})
        same = record.get("key") == self.key(stage) and bool(record.get("finished"))
        return same and stage.name in self.results["stages"] and all(path.exists() for path in stage.outputs)

    def start(self, stage: Stage) -> None:
        """Note that the stage begins; what other commands left in its outputs is removed first."""
        record = self.state.get(stage.name)
        if record is not None and record["key"] != self.key(stage):
            for path in stage.outputs:
                if path.exists():
                    print(f"   settings have changed: removing {path}")
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.state[stage.name] = {"key": self.key(stage), "finished": False}
        atomic_write_json(self.state_path, self.state)

    def finish(self, stage: Stage, seconds: float, peak_memory_gb: float) -> None:
        """Record the stage's figures.

        A stage taken up again after an interruption counts its last sitting only, and says so.
        """
        self.results["stages"][stage.name] = {
            "seconds": round(seconds, 2),
            "peak_memory_gb": round(peak_memory_gb, 3),
            "purpose": stage.purpose,
            "commands": [shlex.join(words) for words in stage.commands],
        }
        self.state[stage.name] = {"key": self.key(stage), "finished": True}
        atomic_write_json(self.state_path, self.state)
        self.save()

    def save(self) -> None:
        """Write ``results.json``."""
        atomic_write_json(self.results_path, self.results)


def run_stage(ledger: Ledger, stage: Stage, position: str) -> bool:
    """Run a stage's commands, or say that its results are reused; tell which.

    Raises
    ------
    StageFailed
        When a command ends with an error. What was finished before stays recorded.
    """
    print(f"\n[{position}] {stage.name}: {stage.purpose}", flush=True)
    if ledger.is_done(stage):
        record = ledger.results["stages"][stage.name]
        where = ", ".join(str(path) for path in stage.outputs)
        print(f"   reusing {where}, made in {spoken_time(record['seconds'])} by the same commands", flush=True)
        return False
    ledger.start(stage)
    seconds = peak_memory_gb = 0.0
    for words in stage.commands:
        print(f"$ {shlex.join(words)}", flush=True)
        code, took, peak = run_measured(words)
        if code:
            raise StageFailed(f"{stage.name} ended with exit code {code}")
        seconds, peak_memory_gb = seconds + took, max(peak_memory_gb, peak)
    missing = [str(path) for path in stage.outputs if not path.exists()]
    if missing:
        raise StageFailed(f"{stage.name} ended without writing {', '.join(missing)}")
    ledger.finish(stage, seconds, peak_memory_gb)
    print(f"   {stage.name}: {spoken_time(seconds)}, peak memory {peak_memory_gb:.1f} GB", flush=True)
    return True


def run_measured(words: tuple[str, ...]) -> tuple[int, float, float]:
    """Run a command with this interpreter; return exit code, seconds and peak memory in GB.

    Memory is resident memory summed over the command and its children, sampled four times a second. The
    kernel's own high-water mark of a child is no use here: it starts at the size of the parent.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(executable(words))
    watched, peak = psutil.Process(process.pid), 0
    try:
        while True:
            peak = max(peak, resident_bytes(watched))
            try:
                process.wait(SAMPLE_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
    except KeyboardInterrupt:
        # The terminal has sent the interrupt to the command as well: let it save what it can.
        process.wait()
        raise
    return process.returncode, time.perf_counter() - begin, peak / 1e9


def executable(words: tuple[str, ...]) -> list[str]:
    """Replace ``python`` and ``accelerate launch`` by this very interpreter, whatever the PATH holds."""
    if words[0] == "python":
        return [sys.executable, *words[1:]]
    if words[:2] == ("accelerate", "launch"):
        return [sys.executable, "-m", "accelerate.commands.launch", *words[2:]]
    raise ValueError(f"expected a command that begins with python or accelerate launch, found {words[0]!r}")


def resident_bytes(process: psutil.Process) -> int:
    """Resident memory of a process and all its children."""
    total = 0
    try:
        for member in (process, *process.children(recursive=True)):
            try:
                total += member.memory_info().rss
            except psutil.Error:
                continue  # it ended in between
    except psutil.Error:
        return 0
    return total


def spoken_time(seconds: float) -> str:
    """``75`` -> ``1 min 15 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
