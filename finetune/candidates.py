"""All candidates of a prediction, also those below the threshold, so that evaluate can draw whole curves."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tomoseek.errors import InputError
from tomoseek.files import atomic_write_text
from tomoseek.picks import Picks

FILE = "candidates.json"


def save_candidates(
    folder: Path, candidates: dict[str, dict[str, Picks]], project: str | None, user_id: str, session_id: str,
    thresholds: dict[str, float], seen_runs: list[dict[str, Any]],
) -> None:  # fmt: skip
    """Write run -> class -> rows of x, y, z (Å), score.

    Parameters
    ----------
    folder
        Gets ``candidates.json``.
    candidates
        Run to class to candidates.
    project, user_id, session_id
        Whose picks they belong to.
    thresholds
        Class to the least score of a pick.
    seen_runs
        Runs that any checkpoint that took part has seen, which are not to be scored; see ``LabelledRun.seen``.
    """
    content = {
        "project": str(Path(project or "").resolve()),
        "user_id": user_id,
        "session_id": session_id,
        "thresholds": thresholds,
        "seen_runs": seen_runs,
        "columns": ["x", "y", "z", "score"],
        "candidates": {
            run: {
                # Probabilities need the digits: 0.99996 and 0.99999 are not the same, nor 0.00002 and 0.00004.
                name: np.column_stack([picks.points_xyz.round(4), picks.scores.round(8)]).tolist()
                for name, picks in by_class.items()
            }
            for run, by_class in candidates.items()
        },
    }
    atomic_write_text(folder / FILE, json.dumps(content) + "\n")


def load_candidates(
    folder: Path, project: str | None, user_id: str, session_id: str
) -> dict[str, dict[str, Picks]] | None:
    """Read what `save_candidates` wrote; ``None`` if nothing is there, or it belongs to other picks.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    content = _content(folder, project, user_id, session_id)
    if content is None:
        return None
    try:
        return {
            run: {name: _picks(rows) for name, rows in by_class.items()}
            for run, by_class in content["candidates"].items()
        }
    except (KeyError, ValueError) as error:
        raise InputError(f"candidates: '{folder / FILE}' is damaged ({error}); run finetune predict again") from error


def seen_by_picks(folder: Path, project: str | None, user_id: str, session_id: str) -> list[dict[str, Any]]:
    """Return the runs that the checkpoints behind these picks have seen; none where the file says nothing of them.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    content = _content(folder, project, user_id, session_id) or {}
    seen: list[dict[str, Any]] = content.get("seen_runs", [])
    return seen


def _content(folder: Path, project: str | None, user_id: str, session_id: str) -> dict[str, Any] | None:
    """Read the file if it is there and belongs to these picks."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        owner = (content["project"], content["user_id"], content["session_id"])
    except (json.JSONDecodeError, KeyError) as error:
        raise InputError(f"candidates: '{path}' is damaged ({error}); run finetune predict again") from error
    return content if owner == (str(Path(project or "").resolve()), user_id, session_id) else None


def load_thresholds(folder: Path) -> dict[str, float]:
    """Read the thresholds by which `save_candidates`'s caller chose the picks; the file is known to be whole."""
    thresholds: dict[str, float] = json.loads((folder / FILE).read_text())["thresholds"]
    return thresholds


def _picks(rows: list[list[float]]) -> Picks:
    table = np.array(rows, np.float64).reshape(-1, 4)
    return Picks(table[:, :3], table[:, 3])
