"""Where the example picks of a query come from: the command line, a CSV file or copick picks."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embed.search import checked_points
from tomoseek.errors import InputError
from tomoseek.picks import read_picks, read_points_csv

DUPLICATE_ANGSTROM = 1.0

ExamplePoints = dict[str, NDArray[np.float64]]


def collect_examples(
    root: Any,
    *,
    points: list[Any] | None,
    examples: str | None,
    run: str | None,
    word: str = "examples",
) -> ExamplePoints:
    """Return example points ``(k, 3)`` x y z in Å per run, duplicates dropped.

    Parameters
    ----------
    root
        Copick project.
    points
        Coordinates in Å, all in ``run``.
    examples
        Instead of points: a CSV file with columns run, x, y, z, or copick picks ``object:user/session``.
    run
        The run of ``points``; with ``examples``, take only those of this run.
    word
        What to call ``examples`` in messages.

    Raises
    ------
    InputError
        If both or neither are given, the run of the points is not, or nothing is found.
    """
    if (points is None) == (examples is None):
        given = "neither" if points is None else "both"
        raise InputError(f"expected either points=[[x,y,z],...] with run=... or examples=..., found {given}")
    if points is not None:
        if run is None:
            raise InputError("points: expected the run they lie in, found none; give run=<run name>")
        found = {run: checked_points(points, run)}
    elif examples is not None and _is_csv(examples):
        table = read_points_csv(examples, default_run=run, one_object=True)
        found = {key: picks.points_xyz for key, picks in table.items()}
    else:
        found = _from_copick(root, examples or "", run, word)
    if run is not None:
        found = {key: value for key, value in found.items() if key == run}
    found = {key: value for key, value in found.items() if len(value)}
    if not found:
        where = f" in run {run}" if run else ""
        raise InputError(f"{word}={examples}: expected at least one pick{where}, found none; check the name")
    return {key: drop_duplicates(value, key) for key, value in found.items()}


def drop_duplicates(points_xyz: NDArray[np.float64], run: str) -> NDArray[np.float64]:
    """Drop points within 1 Å of an earlier one, saying how many."""
    kept: list[NDArray[np.float64]] = []
    for point in points_xyz:
        if all(np.linalg.norm(point - other) > DUPLICATE_ANGSTROM for other in kept):
            kept.append(point)
    if len(kept) < len(points_xyz):
        print(f"warning: run {run}: {len(points_xyz) - len(kept)} duplicate example points are used once")
    return np.stack(kept)


def _is_csv(examples: str) -> bool:
    return examples.endswith(".csv") or Path(examples).is_file()


def _from_copick(root: Any, reference: str, run: str | None, word: str) -> ExamplePoints:
    object_name, _, owner = reference.partition(":")
    user_id, _, session_id = owner.partition("/")
    if not (object_name and user_id and session_id):
        raise InputError(
            f"{word}='{reference}': expected a CSV file or copick picks as object:user/session "
            "(e.g. ribosome:curator/0), found neither"
        )
    runs = [item.name for item in root.runs] if run is None else [run]
    return {key: read_picks(root, key, object_name, user_id, session_id).points_xyz for key in runs}
