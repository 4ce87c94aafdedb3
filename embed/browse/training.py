"""A picker trained on the picks that the page has saved: started, watched and stopped from there, and what it finds."""

import json
import re
import shlex
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from embed.browse import detached
from embed.browse.saving import PROGRAM, Saver
from embed.finds import Finds
from embed.searched import Searched
from tomoseek.errors import InputError
from tomoseek.picks.points import Picks
from tomoseek.tomograms.project import open_project

RECORD, LOG, CANDIDATES = "training.json", "training.log", "candidates.json"
# Words of ``finetune train`` that say what is learned from and where it goes.
GIVEN = ("data", "picks", "classes", "out_dir", "resume")
BAD_INPUT = (2, 0)  # exit code, and that of the training: what is there cannot be gone on with
SHOWN = 20  # lines of the log
MOST_READ = 100_000  # bytes of its end
NO_PROJECT = "a training needs a copick project: put the tomograms into one with python -m tomoseek import"
ONE_RUN = "it was judged on the tomogram that it learned from"
PLAIN = re.compile(r"[\w./@+-]+")
# 24/200 [00:30<03:40, ...: what a progress line says.
PROGRESS = re.compile(r"(\d+)/(\d+) \[[\d:]+<(?:([\d:]+)|\?)")
SEARCHED = re.compile(r"^\[(\d+)/(\d+)\] ", re.MULTILINE)


def check_words(words: Iterable[str]) -> None:
    """Refuse words for ``finetune train`` that are none, or say what the page says.

    Raises
    ------
    InputError
        With the first of them.
    """
    for word in words:
        key, equals, _ = word.partition("=")
        if not equals or key.strip("+~").split(".")[0] in GIVEN:
            given = ", ".join(GIVEN)
            raise InputError(f"training: expected key=value words of finetune train but for {given}, found '{word}'")


class Trainer:
    """Trains pickers, one for each object, with the commands that a person would give.

    Parameters
    ----------
    searched
        What is looked at.
    saver
        Knows whose picks are learned from.
    mask
        ``data.mask`` of the commands.
    words
        Settings of ``finetune train``.
    """

    def __init__(self, searched: Searched, saver: Saver, mask: str | None, words: list[str]) -> None:
        self.searched, self.saver, self.mask, self.words = searched, saver, mask, words
        self._lock = Lock()

    def start(self, name: str) -> None:
        """Train on the picks that are saved, then search all tomograms with what was learned.

        A training that was stopped goes on, unless picks or settings have changed since, or it could not.

        Raises
        ------
        InputError
            If there are no picks, or no project, or it is being trained already.
        """
        with self._lock:
            path = self._folder(name) / RECORD
            if self.saver.project is None:
                raise InputError(NO_PROJECT)
            record = detached.read(path)
            if record is not None and detached.running(record):
                raise InputError(
                    f"{name}: expected no training of it, found one that runs; wait for its end or stop it"
                )
            labels = self._labels(name)
            if not labels:
                raise InputError(f"{name}: expected saved picks, found none by {self._whose()}; save some first")
            words = self._train(name, labels)
            told = {"labels": labels, "words": words}
            fresh = record is None or record["told"] != told or (record.get("code"), record.get("command")) == BAD_INPUT
            python = [sys.executable, "-m", "finetune"]
            train = [*python, "train", *words, f"resume={str(not fresh).lower()}"]
            commands = [train, [*python, "predict", *self._predict(name)]]
            detached.start(path, commands, self._folder(name) / LOG, told, fresh)

    def stop(self, name: str) -> None:
        """Have a training end; it can go on later."""
        record = detached.read(self._folder(name) / RECORD)
        if record is not None and detached.running(record):
            detached.stop(record)

    def status(self, name: str) -> dict[str, Any]:
        """Say how it stands: none, running, stopped, failed or done; when it does not run, what it would learn from."""
        if self.saver.project is None:
            return {"state": "none", "refused": NO_PROJECT}
        record = detached.read(self._folder(name) / RECORD)
        state = self._state(name, record)
        said: dict[str, Any] = {"state": state, "minutes": self._minutes()}
        if state != "running":
            labels = self._labels(name)
            said["num_runs"] = len(labels)
            try:
                words = self._train(name, labels)
                said["changed"] = record is not None and record["told"] != {"labels": labels, "words": words}
                said["command"] = f"python -m finetune train {shlex.join(words)}"
            except InputError as error:
                said["refused"] = str(error)
        if record is None:
            return said
        lines = _lines(record)
        said["log"] = lines[-SHOWN:]
        if state in ("failed", "done") and record.get("code") != 0:  # done, but for some of the tomograms
            said["error"] = (lines or ["it ended without a word"])[-1].removeprefix("error: ")
        if state == "running":
            said |= {"doing": ["training", "searching"][record.get("command", 0)], **self._progress(record)}
        return said

    def finds(self, name: str, radius: float) -> Finds:
        """Return what the trained picker finds in the tomograms that are looked at, best first.

        Raises
        ------
        InputError
            If none was trained to its end.
        """
        record = detached.read(self._folder(name) / RECORD)
        if record is None or self._state(name, record) != "done":
            raise InputError(f"{name}: expected a trained picker, found none; train one first")
        path = self._folder(name) / CANDIDATES
        try:
            by_run = json.loads(path.read_text())["candidates"]
            rows = {run: np.array(by_run[run][name]).reshape(-1, 4) for run in self.searched.runs if run in by_run}
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path}: expected candidates of finetune predict, found {error}; train again") from error
        candidates = {run: Picks(each[:, :3], each[:, 3]) for run, each in rows.items()}
        return Finds.of_probable(candidates, radius, () if len(record["told"]["labels"]) > 1 else (ONE_RUN,))

    def _folder(self, name: str) -> Path:
        return self.saver.folder / f"{name}-picker"

    def _whose(self) -> str:
        return f"{self.saver.user}/{self.saver.session}"

    def _labels(self, name: str) -> dict[str, str]:
        """Describe the saved picks of every run that has some."""
        root = open_project(self.saver.project)
        found = {run: self.saver.digest(root, run, name) for run in self.searched.runs}
        return {run: digest for run, digest in found.items() if digest}

    def _state(self, name: str, record: detached.Record | None) -> str:
        if record is None:
            return "none"
        if detached.running(record):
            return "running"
        if "runner" in record and ("code" not in record or record["stopped"]):
            return "stopped"
        if record.get("code") == 0 or self._searched_since(name, record):
            return "done"
        return "failed"

    def _searched_since(self, name: str, record: detached.Record) -> bool:
        """Tell whether all tomograms were searched but for some that cannot be read."""
        path = self._folder(name) / CANDIDATES
        return bool(record.get("command") and path.is_file() and path.stat().st_mtime >= record["command_begun"])

    def _train(self, name: str, labels: dict[str, str]) -> list[str]:
        return [
            *self._data(list(labels)), f"classes=[{quoted(name)}]", f"picks.user_id={quoted(self.saver.user)}",
            f"picks.session_id={quoted(self.saver.session)}", f"out_dir={quoted(self._folder(name))}", *self.words,
        ]  # fmt: skip

    def _predict(self, name: str) -> list[str]:
        folder = quoted(self._folder(name))
        return [
            *self._data(self.searched.runs), f"checkpoint={folder}", f"out_dir={folder}", "thresholds=balance",
            f"picks.user_id={PROGRAM}", f"picks.session_id={quoted(f'{self.saver.user}-{self.saver.session}')}",
        ]  # fmt: skip

    def _data(self, runs: list[str]) -> list[str]:
        """Name tomograms as the index knows them.

        Raises
        ------
        InputError
            If they are of several kinds, which one command does not read.
        """
        entries = [self.searched.index.entries[run] for run in self.searched.runs]
        kinds = {(each.tomogram_type, each.stored_spacing, each.contrast[2] < 0) for each in entries}
        if len(kinds) > 1:
            told = ", ".join(f"{kind} at {spacing:g} Å" for kind, spacing, _ in sorted(kinds))
            raise InputError(f"expected tomograms of one kind to train on, found {told}; choose data.runs of one kind")
        ((kind, spacing, dark),) = kinds
        words = [f"data.project={quoted(self.saver.project)}", f"data.tomogram_type={quoted(kind)}"]
        words += [f"data.voxel_spacing={spacing}", *([] if dark else ["data.polarity=bright"])]
        if self.mask != "auto":
            words.append(f"data.mask={'null' if self.mask is None else quoted(self.mask)}")
        if {run.name for run in self.searched.root.runs} != set(runs):
            words.append(f"data.runs=[{','.join(map(quoted, runs))}]")
        return words

    def _minutes(self) -> float | None:
        """Return how long a training may take, where that is limited."""
        limits = [word.partition("=")[2] for word in self.words if word.startswith("max_minutes=")]
        try:
            return float(limits[-1])
        except (IndexError, ValueError):
            return None

    def _progress(self, record: detached.Record) -> dict[str, Any]:
        """Say which share of the present command is done and how many seconds it will take, as it says itself."""
        said = _tail(Path(record["log"]), record.get("log_from", 0))
        found = list(PROGRESS.finditer(said))
        share = int(found[-1][1]) / max(int(found[-1][2]), 1) if found else 0.0
        left = seconds(found[-1][3]) if found and found[-1][3] else None
        if record.get("command"):
            tomograms = list(SEARCHED.finditer(said))
            done, total = map(int, tomograms[-1].groups()) if tomograms else (0, len(self.searched.runs))
            within = share if found and (not tomograms or found[-1].start() > tomograms[-1].start()) else 0.0
            share, left = min(1.0, (done + within) / total), None
        elapsed = time.time() - float(record.get("command_begun") or record["begun"])
        minutes = self._minutes()
        if left is not None and minutes is not None:
            left = min(left, max(0.0, 60 * minutes - elapsed))
        return {"share": share, "seconds": elapsed, "seconds_left": left}


def quoted(name: str | Path | None) -> str:
    """Write a name as a word of a command takes it."""
    text = str(name)
    return text if PLAIN.fullmatch(text) and text != "null" else "'" + re.sub(r"(['\\])", r"\\\1", text) + "'"


def _lines(record: detached.Record) -> list[str]:
    """Return the last lines that were printed."""
    return [line.rstrip() for line in _tail(Path(record["log"]), 0).split("\n") if line.strip()]


def _tail(path: Path, first: int) -> str:
    """Read the end of a log, at most from a byte on."""
    try:
        with path.open("rb") as file:
            file.seek(max(first, path.stat().st_size - MOST_READ))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def seconds(clock: str) -> float:
    """Return the seconds of ``1:02:03``."""
    return float(sum(int(part) * 60**power for power, part in enumerate(reversed(clock.split(":")))))
