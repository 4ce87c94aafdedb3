"""Where the examples of a query come from: the command line, a file of coordinates or copick picks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embed.examples import checked_points
from tomoseek.errors import InputError
from tomoseek.exchange.coordinate_files import MODELS, TEXTS, read_coordinates
from tomoseek.messages import warn
from tomoseek.picks.copick_picks import read_picks
from tomoseek.picks.star_read import read_star
from tomoseek.picks.tables import read_objects_csv

DUPLICATE_ANGSTROM = 1.0

ExamplePoints = dict[str, NDArray[np.float64]]  # by run
ObjectPoints = dict[str | None, ExamplePoints]  # by object; None where the source names none


def collect_examples(
    root: Any,
    tomograms: Mapping[str, Any],
    *,
    points: list[Any] | None,
    examples: Any,
    run: str | None,
    name: str | None,
    default_run: str | None = None,
    word: str = "examples",
) -> dict[str, ExamplePoints]:
    """Return example points ``(k, 3)`` x y z in Å per object and run, duplicates dropped.

    Parameters
    ----------
    root
        Copick project, if there is one.
    tomograms
        By run: objects with ``shape`` (z y x) and ``voxel_spacing`` (Å), for star files.
    points
        Coordinates in Å, all in ``run``.
    examples
        Instead of points: a CSV file with columns run, x, y, z, a RELION star file, or copick picks
        ``object:user/session``; a list of these; or a mapping of objects to these.
    run
        The run of ``points``; with ``examples``, take only those of this run.
    name
        What the object is called, whatever the source calls it; then it must be one.
    default_run
        The run of what names none; absent, it is ``run``.
    word
        What to call ``examples`` in messages.

    Raises
    ------
    InputError
        If both or neither are given, the run of the points is not, nothing is found, there are several objects where
        one was expected, or nothing says what an object is called.
    """
    if (points is None) == (examples is None):
        given = "neither" if points is None else "both"
        raise InputError(f"expected either points=[[x,y,z],...] with run=... or examples=..., found {given}")
    found: ObjectPoints = {}
    if points is not None:
        if run is None:
            raise InputError("points: expected the run they lie in, found none; give run=<run name>")
        found[None] = {run: checked_points(points, run)}
    for label, source in _sources(examples, word) if examples is not None else []:
        content = _read_source(root, tomograms, source, run, default_run or run, word)
        for key, each in content.items() if label is None else [(label, _only(content, source))]:
            _add(found.setdefault(key, {}), each, run)
    for key, each in found.items():
        if not each:
            what, where = f" of '{key}'" if key else "", f" in run {run}" if run else ""
            raise InputError(f"{word}={examples}: expected at least one pick{what}{where}, found none; check the name")
    if name is not None:
        found = {name: _only(found, f"name={name}, {word}={examples}")}
    named: dict[str, ExamplePoints] = {}
    for key, each in found.items():
        if key is None:
            raise InputError(
                f"name: expected a name for what is looked for, found none in {'points' if points else word}; give "
                f"name=<object name>, or for several a table with a column object"
            )
        named[key] = {at: drop_duplicates(value, at) for at, value in each.items()}
    return named


def drop_duplicates(points_xyz: NDArray[np.float64], run: str) -> NDArray[np.float64]:
    """Drop points within 1 Å of an earlier one, saying how many."""
    kept: list[NDArray[np.float64]] = []
    for point in points_xyz:
        if all(np.linalg.norm(point - other) > DUPLICATE_ANGSTROM for other in kept):
            kept.append(point)
    if len(kept) < len(points_xyz):
        warn(f"run {run}: {len(points_xyz) - len(kept)} duplicate example points are used once")
    return np.stack(kept)


def _sources(given: Any, word: str) -> list[tuple[str | None, str]]:
    """Return each source, and the object that the command line says it shows."""
    sources: list[tuple[Any, Any]] = []
    if isinstance(given, dict):
        sources = [(str(label), source) for label, source in given.items()]
    else:
        sources = [(None, source) for source in (given if isinstance(given, list) else [given])]
    if not sources or not all(isinstance(source, str) for _, source in sources):
        raise InputError(
            f"{word}: expected a file, copick picks as object:user/session, a list of these, or {{object: file, ...}}, "
            f"found {given}"
        )
    return sources


def _read_source(
    root: Any, tomograms: Mapping[str, Any], source: str, run: str | None, default_run: str | None, word: str
) -> dict[str | None, ExamplePoints]:
    """Read the points of one source per object and run, perhaps of other runs than ``run`` too."""
    if source.endswith(".star"):
        return {None: {key: picks.points_xyz for key, picks in read_star(source, tomograms, run).items()}}
    if Path(source).is_file() and Path(source).suffix.lower() in (*MODELS, *TEXTS):
        read = read_coordinates(Path(source), tomograms, default_run)
        return {name: {key: picks.points_xyz for key, picks in each.items()} for name, each in read.items()}
    if source.endswith(".csv") or Path(source).is_file():
        table = read_objects_csv(source, default_run=default_run)
        return {name: {key: picks.points_xyz for key, picks in each.items()} for name, each in table.items()}
    object_name, _, owner = source.partition(":")
    user_id, _, session_id = owner.partition("/")
    if not (object_name and user_id and session_id):
        raise InputError(
            f"{word}='{source}': expected a CSV or star file, or copick picks as object:user/session "
            "(e.g. ribosome:curator/0), found neither"
        )
    if root is None:
        raise InputError(f"{word}='{source}': expected a CSV or star file, found picks of a project, and there is none")
    runs = [item.name for item in root.runs] if run is None else [run]
    return {object_name: {key: read_picks(root, key, object_name, user_id, session_id).points_xyz for key in runs}}


def _only(found: ObjectPoints, where: str) -> ExamplePoints:
    """Return the points of the one object there is."""
    if len(found) > 1:
        kinds = ", ".join(key or "points of no named object" for key in found)
        raise InputError(
            f"{where}: expected points of one object, found {kinds}; keep those of one, or give no name and search for "
            "each"
        )
    return next(iter(found.values()))


def _add(to: ExamplePoints, points: ExamplePoints, run: str | None) -> None:
    """Put points of an object with those it has, if they lie in ``run``."""
    for key, value in points.items():
        if len(value) and run in (None, key):
            to[key] = np.concatenate([to[key], value]) if key in to else value
