"""All candidates of a prediction, also those below the threshold, so that evaluate can draw whole curves."""

import json
from pathlib import Path

import numpy as np

from tomoseek.errors import InputError
from tomoseek.files import atomic_write_text
from tomoseek.picks import Picks

FILE = "candidates.json"


def save_candidates(
    folder: Path, candidates: dict[str, dict[str, Picks]], project: str | None, user_id: str, session_id: str,
    thresholds: dict[str, float],
) -> None:  # fmt: skip
    """Write run -> class -> rows of x, y, z (Å), score."""
    content = {
        "project": str(Path(project or "").resolve()),
        "user_id": user_id,
        "session_id": session_id,
        "thresholds": thresholds,
        "columns": ["x", "y", "z", "score"],
        "candidates": {
            run: {
                name: np.column_stack([picks.points_xyz, picks.scores]).round(4).tolist()
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
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text())
        owner = (content["project"], content["user_id"], content["session_id"])
        if owner != (str(Path(project or "").resolve()), user_id, session_id):
            return None
        return {
            run: {name: _picks(rows) for name, rows in by_class.items()}
            for run, by_class in content["candidates"].items()
        }
    except (json.JSONDecodeError, KeyError, ValueError) as error:
        raise InputError(f"candidates: '{path}' is damaged ({error}); run finetune predict again") from error


def load_thresholds(folder: Path) -> dict[str, float]:
    """Read the thresholds by which `save_candidates`'s caller chose the picks; the file is known to be whole."""
    thresholds: dict[str, float] = json.loads((folder / FILE).read_text())["thresholds"]
    return thresholds


def _picks(rows: list[list[float]]) -> Picks:
    table = np.array(rows, np.float64).reshape(-1, 4)
    return Picks(table[:, :3], table[:, 3])
