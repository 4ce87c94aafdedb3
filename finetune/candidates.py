"""All candidates of a prediction, also those below the threshold, so that evaluate can draw whole curves."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tomoseek.errors import InputError
from tomoseek.files import atomic_write_text
from tomoseek.picks.points import Picks

FILE = "candidates.json"


@dataclass(slots=True)
class Candidates:
    """What a prediction found and what it knew.

    Attributes
    ----------
    by_run
        Run to class to candidates, Å.
    thresholds
        Class to the least score of a pick.
    seen_runs
        Runs that any checkpoint that took part has seen, which are not to be scored; see ``LabelledRun.seen``.
    """

    by_run: dict[str, dict[str, Picks]]
    thresholds: dict[str, float]
    seen_runs: list[dict[str, Any]]


def save_candidates(
    folder: Path, candidates: Candidates, project: str | None, user_id: str, session_id: str
) -> None:  # fmt: skip
    """Write ``candidates.json``, which says to whose picks the candidates belong; rows are x, y, z (Å), score."""
    content = {
        "project": str(Path(project or "").resolve()),
        "user_id": user_id,
        "session_id": session_id,
        "thresholds": candidates.thresholds,
        "seen_runs": candidates.seen_runs,
        "columns": ["x", "y", "z", "score"],
        "candidates": {
            run: {
                # Probabilities need the digits: 0.99996 and 0.99999 are not the same, nor 0.00002 and 0.00004.
                name: np.column_stack([picks.points_xyz.round(4), picks.scores.round(8)]).tolist()
                for name, picks in by_class.items()
            }
            for run, by_class in candidates.by_run.items()
        },
    }
    atomic_write_text(folder / FILE, json.dumps(content) + "\n")


def load_candidates(folder: Path, project: str | None, user_id: str, session_id: str) -> Candidates | None:
    """Read what `save_candidates` wrote; ``None`` if nothing is there, or it belongs to other picks.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text())
        owner = (content["project"], content["user_id"], content["session_id"])
        if owner != (str(Path(project or "").resolve()), user_id, session_id):
            return None
        by_run = {
            run: {name: _picks(rows) for name, rows in by_class.items()}
            for run, by_class in content["candidates"].items()
        }
        return Candidates(by_run, content["thresholds"], content["seen_runs"])
    except (json.JSONDecodeError, KeyError, ValueError) as error:
        raise InputError(
            f"candidates: '{path}' is damaged or of another version ({error}); run finetune predict again"
        ) from error


def _picks(rows: list[list[float]]) -> Picks:
    table = np.array(rows, np.float64).reshape(-1, 4)
    return Picks(table[:, :3], table[:, 3])
