"""Damaged files are read or refused in one line, and what else can happen would be noticed."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest

from benchmarks.fuzz.kinds import KINDS, Kind
from benchmarks.fuzz.mutations import damage_bytes, damage_json, damage_safetensors, damage_text
from benchmarks.fuzz.trial import FAULT, READ, REFUSED, outcomes
from tomoseek.errors import InputError

NUMBER = 22  # of each kind; benchmarks/fuzz does 2,000


@pytest.mark.parametrize("name", KINDS)
def test_damaged_files_are_read_or_refused_in_one_line(name: str) -> None:
    found = list(outcomes(name, KINDS[name], range(NUMBER)))
    assert [outcome for outcome in found if outcome.what == FAULT] == []
    assert {outcome.what for outcome in found} == {READ, REFUSED}  # damages that nobody notices, or all, test nothing


def one_file(use: Callable[[Path], object]) -> Kind:
    """A file of 1 that is damaged to 2, after which ``use`` does what it does."""
    return Kind(
        make=lambda folder: (folder / "file").write_text("1"), targets=("file",), damage=lambda _data, _random: b"2",
        use=lambda folder: use(folder) if (folder / "file").read_text() == "2" else None,
    )  # fmt: skip


def refuse(message: str) -> None:
    raise InputError(message)


def hide_memory_error(_folder: Path) -> None:
    try:
        np.ones(10**10)
    except MemoryError as error:
        raise InputError("expected less") from error


def refuse_in_two_lines(folder: Path) -> None:
    raise FileNotFoundError("expected\n1")


@pytest.mark.parametrize(
    ("use", "what", "reason"),
    [
        (lambda folder: None, READ, ""),
        (lambda folder: refuse("expected 1"), REFUSED, "expected 1"),
        (lambda folder: (folder / "none").read_text(), REFUSED, "No such file"),
        (refuse_in_two_lines, FAULT, "several lines"),
        (lambda folder: int("a"), FAULT, "ValueError at tests/test_fuzz.py"),
        (lambda folder: np.ones(10**10), FAULT, "MemoryError"),
        (hide_memory_error, FAULT, "too much memory"),
        (lambda folder: time.sleep(60), FAULT, "hangs"),
        (lambda folder: (folder / "file").write_text("3"), FAULT, "changed file"),
        (lambda folder: (folder / "more").mkdir(), FAULT, "changed more"),
        (lambda folder: (folder / "file").unlink(), FAULT, "changed file"),
        (lambda folder: os.abort(), FAULT, "killed by SIGABRT"),
    ],
)
def test_what_may_not_happen_is_noticed(use: Callable[[Path], object], what: str, reason: str) -> None:
    (outcome,) = outcomes("file", one_file(use), [0], seconds=2.0)
    assert outcome.what == what
    assert reason in outcome.reason


def test_sound_files_have_to_be_read() -> None:
    broken = Kind(
        make=lambda folder: None, targets=(), damage=lambda data, _random: data, use=lambda _folder: refuse("no")
    )
    with pytest.raises(RuntimeError, match="expected sound files to be read, found no"):
        list(outcomes("broken", broken, [0]))


SAMPLES = {
    damage_bytes: bytes(range(64)),
    damage_text: b"run,x,y,z\nTS_1,1,2,3\nTS_2,4,5,6\n",
    damage_json: json.dumps({"a": [1, {"b": "text"}], "c": None}).encode(),
    damage_safetensors: (120).to_bytes(8, "little")
    + json.dumps({"__metadata__": {"key": '{"a": 1}'}, "w": {"dtype": "F32"}}).ljust(120).encode()
    + bytes(16),
}


@pytest.mark.parametrize("damage", SAMPLES, ids=lambda damage: damage.__name__)
def test_a_seed_makes_the_same_damage_and_most_seeds_different_ones(damage: Callable[[bytes, Random], bytes]) -> None:
    made = [damage(SAMPLES[damage], Random(seed)) for seed in range(200)]
    assert made == [damage(SAMPLES[damage], Random(seed)) for seed in range(200)]
    assert len(set(made) - {SAMPLES[damage]}) > 100
