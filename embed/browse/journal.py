"""What people did to one object, kept as it happens: a line of JSON for every click and every judgement.

A line is on disk before it is answered for. Whoever reads after a kill finds every whole line; half a last line is
dropped. Undo takes back the latest act that is not taken back yet.
"""

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any, Literal

from tomoseek.errors import InputError

Verdict = Literal["right", "wrong", "unsure"]
VERDICTS = ("right", "wrong", "unsure")
SAME_ANGSTROM = 1.0  # a judgement of the same place replaces the one before


@dataclass(slots=True)
class Point:
    """A place of a run, x y z in Å."""

    number: int
    run: str
    xyz: tuple[float, float, float]


@dataclass(slots=True)
class State:
    """Where an object stands: what it is known by, and what was said of finds."""

    radius: float = 75.0
    structure: str | None = None
    examples: dict[int, Point] = field(default_factory=dict)
    negatives: dict[int, Point] = field(default_factory=dict)
    judged: dict[int, "Judgement"] = field(default_factory=dict)


@dataclass(slots=True)
class Judgement:
    """What was said of a place, and the log odds that it had then, if it was a find."""

    point: Point
    verdict: Verdict
    odds: float | None


class Journal:
    """The acts of one object, in a file of JSON lines.

    Parameters
    ----------
    path
        Of the file; made with its folder at the first act.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = RLock()
        self._acts: list[dict[str, Any]] = []
        if path.is_file():
            self._acts = _read(path)

    @property
    def version(self) -> int:
        """Grows with every act, undone ones included."""
        return len(self._acts)

    @property
    def state(self) -> State:
        """Replay the acts that are not taken back."""
        with self._lock:
            taken_back = self._taken_back()
            state = State()
            for number, act in enumerate(self._acts):
                if number not in taken_back:
                    _replay(state, number, act)
            return state

    def _taken_back(self) -> set[int]:
        """Numbers of the acts that were undone, with those done together with them."""
        undone = {act["of"] for act in self._acts if act["do"] == "undo"}
        groups = {self._acts[number].get("group") for number in undone} - {None}
        return undone | {number for number, act in enumerate(self._acts) if act.get("group") in groups}

    def add_together(self, acts: list[dict[str, Any]]) -> None:
        """Write several acts down that one undo takes back."""
        with self._lock:
            group = self.version
            self._write([{**self._checked(act), "group": group} for act in acts])

    def add(self, act: dict[str, Any]) -> int:
        """Write an act down, and return its number.

        Parameters
        ----------
        act
            ``do`` is example, negative, move, remove, judge, radius, structure or undo; points are ``run`` and
            ``xyz``, which lie where they lie.

        Raises
        ------
        InputError
            If it cannot be understood, or there is nothing to take back.
        """
        with self._lock:
            self._write([self._checked(act)])
            return len(self._acts) - 1

    def _write(self, checked: list[dict[str, Any]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        now = round(time.time(), 3)
        lines = "".join(json.dumps({"time": now, **act}) + "\n" for act in checked)
        with self.path.open("ab+") as file:
            if file.tell() and not _ends_whole(file):
                file.write(b"\n")  # after a kill in the middle of a line
            file.write(lines.encode())
            file.flush()
            os.fsync(file.fileno())
        self._acts += checked

    def _checked(self, act: dict[str, Any]) -> dict[str, Any]:
        kind = act.get("do")
        try:
            if kind in ("example", "negative"):
                return {"do": kind, "run": str(act["run"]), "xyz": _triple(act["xyz"])}
            if kind == "judge":
                verdict = act["verdict"]
                if verdict not in (*VERDICTS, None):
                    raise ValueError(f"a verdict among {', '.join(VERDICTS)}")
                odds = None if act.get("odds") is None else float(act["odds"])
                place = {"run": str(act["run"]), "xyz": _triple(act["xyz"])}
                return {"do": kind, **place, "verdict": verdict, "odds": odds}
            if kind == "move":
                return {"do": kind, "of": int(act["of"]), "xyz": _triple(act["xyz"])}
            if kind == "remove":
                return {"do": kind, "of": int(act["of"])}
            if kind == "radius" and 0 < float(act["radius"]) < 1e5:
                return {"do": kind, "radius": float(act["radius"])}
            if kind == "structure":
                return {"do": kind, "structure": None if act["structure"] is None else str(act["structure"])}
            if kind == "undo":
                taken_back = self._taken_back()
                left = [n for n, each in enumerate(self._acts) if each["do"] != "undo" and n not in taken_back]
                if left:
                    return {"do": kind, "of": left[-1]}
                raise ValueError("something to take back")
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"act: expected {error}, found {json.dumps(act)[:200]}") from error
        raise InputError(f"act: expected a click, a judgement or undo, found {json.dumps(act)[:200]}")


def _replay(state: State, number: int, act: dict[str, Any]) -> None:
    kind = act["do"]
    if kind in ("example", "negative"):
        points = state.examples if kind == "example" else state.negatives
        points[number] = Point(number, act["run"], act["xyz"])
    elif kind == "move":
        for points in (state.examples, state.negatives):
            if act["of"] in points:
                points[act["of"]].xyz = act["xyz"]
    elif kind == "remove":
        state.examples.pop(act["of"], None)
        state.negatives.pop(act["of"], None)
    elif kind == "judge":
        for key, known in list(state.judged.items()):
            apart = max(abs(a - b) for a, b in zip(known.point.xyz, act["xyz"], strict=True))
            if known.point.run == act["run"] and apart < SAME_ANGSTROM:
                del state.judged[key]
        if act["verdict"] is not None:
            point = Point(number, act["run"], act["xyz"])
            state.judged[number] = Judgement(point, act["verdict"], act.get("odds"))
    elif kind == "radius":
        state.radius = act["radius"]
    elif kind == "structure":
        state.structure = act["structure"]


def _triple(xyz: Any) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in xyz)
    if not all(abs(value) < 1e7 for value in (x, y, z)):
        raise ValueError("x y z in Å")
    return x, y, z


def _ends_whole(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")


def _read(path: Path) -> list[dict[str, Any]]:
    """Read whole lines; half of one, left by a kill, is no act.

    Raises
    ------
    InputError
        If a line in the middle is damaged.
    """
    acts: list[dict[str, Any]] = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            act = json.loads(line)
            act.pop("time", None)
            if "xyz" in act:
                act["xyz"] = _triple(act["xyz"])
            acts.append(act)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            if number >= len(lines) - 2 or line[-1:] != b"}":
                continue
            raise InputError(f"{path}: expected JSON in line {number + 1}, found none: mend or remove it") from error
    return acts
