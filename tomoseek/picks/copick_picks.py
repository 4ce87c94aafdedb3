"""Picks with scores in copick projects."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from copick.models import CopickLocation, CopickPicksFile, CopickPoint

from tomoseek.errors import InputError
from tomoseek.files import atomic_write_text
from tomoseek.messages import listed
from tomoseek.picks.points import Picks
from tomoseek.tomograms.project import check_name
from tomoseek.tomograms.project_config import local_path
from tomoseek.tomograms.remote import reaching, remote_place


def read_picks(
    root: Any,
    run_name: str,
    object_name: str,
    user_id: str | None = None,
    session_id: str | None = None,
    exclude_users: Sequence[str] = (),
) -> Picks:
    """Read the picks of one class in one run: the union of every matching copick picks file.

    A point's centre is its location plus the shift in its transformation, as in copick.

    Parameters
    ----------
    root
        Copick project.
    run_name, object_name
        Which run and which class.
    user_id, session_id
        Whose picks; None means any.
    exclude_users
        Users whose picks are left out even so.

    Returns
    -------
    Empty when nobody picked this class here.

    Raises
    ------
    InputError
        When the project has no such run or class, or a picks file cannot be read.
    """
    with reaching(remote_place(root)):
        return _read_picks(root, run_name, object_name, user_id, session_id, exclude_users)


def _read_picks(
    root: Any,
    run_name: str,
    object_name: str,
    user_id: str | None,
    session_id: str | None,
    exclude_users: Sequence[str],
) -> Picks:
    run = _get_run(root, run_name)
    _check_object(root, object_name)
    run.refresh_picks()  # another command may have written since
    points, scores = [], []
    for entry in run.get_picks(object_name=object_name, user_id=user_id, session_id=session_id):
        if entry.user_id in exclude_users:
            continue
        source = f"{entry.user_id}_{entry.session_id}_{object_name}.json of run {run_name}"
        try:
            content = entry.load()
        except (ValueError, AssertionError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"expected copick picks in {source}, found {reason}: repair the file") from error
        if content.unit != "angstrom":
            raise InputError(f"expected picks in Å in {source}, found unit '{content.unit}': convert them to angstrom")
        for point in content.points or []:
            shift = point.transformation[:3, 3]
            points.append(np.array([point.location.x, point.location.y, point.location.z]) + shift)
            scores.append(1.0 if point.score is None else point.score)
        if not np.isfinite(np.array(points)).all() or not np.isfinite(scores).all():
            raise InputError(f"expected finite coordinates and scores in {source}, found NaN or infinity: remove those")
    return Picks(np.array(points), np.array(scores))


def write_picks(root: Any, run_name: str, object_name: str, picks: Picks, user_id: str, session_id: str) -> None:
    """Write picks as copick picks with scores, replacing those of the same class, user and session.

    Raises
    ------
    InputError
        When the project has no such run or class, a name is not one copick accepts, picks under these names are part
        of the read-only data, or the overlay cannot be written.
    """
    try:
        with reaching(remote_place(root)):
            _write_picks(root, run_name, object_name, picks, user_id, session_id)
    except OSError as error:
        raise InputError(
            f"expected to write picks into {root.config.overlay_root}, the overlay_root of the project, found {error}: "
            "name a folder of your own there"
        ) from error


def _write_picks(root: Any, run_name: str, object_name: str, picks: Picks, user_id: str, session_id: str) -> None:
    run = _get_run(root, run_name)
    _check_object(root, object_name)
    check_name(user_id, "picks.user_id")
    check_name(session_id, "picks.session_id")
    run.refresh_picks()
    entry = run.new_picks(object_name=object_name, user_id=user_id, session_id=session_id, exist_ok=True)
    if entry.read_only:
        raise InputError(
            f"expected new picks, found {user_id}_{session_id}_{object_name}.json in the read-only data of "
            f"run {run_name}: choose another picks.user_id or picks.session_id"
        )
    points = [
        CopickPoint(location=CopickLocation(x=float(x), y=float(y), z=float(z)), score=float(score))
        for (x, y, z), score in zip(picks.points_xyz, picks.scores, strict=True)
    ]
    entry.meta = CopickPicksFile(
        pickable_object_name=object_name,
        user_id=user_id,
        session_id=session_id,
        run_name=run_name,
        points=points,
        trust_orientation=False,  # nothing here estimates angles
    )
    if local_path(root.config.overlay_root) is None:
        entry.store()
    else:
        atomic_write_text(Path(entry.path), json.dumps(entry.meta.model_dump(), indent=1))


def list_picks(root: Any, run_name: str) -> list[tuple[str, str, str]]:
    """List the picks files of a run as (object name, user, session), sorted."""
    with reaching(remote_place(root)):
        run = _get_run(root, run_name)
        run.refresh_picks()
        return sorted((entry.pickable_object_name, entry.user_id, entry.session_id) for entry in run.picks)


def _get_run(root: Any, run_name: str) -> Any:
    """Return a run of the project by its name."""
    run = root.get_run(run_name)
    if run is None:
        names = sorted(each.name for each in root.runs)
        raise InputError(f"expected a run of the project, found '{run_name}': runs are {listed(names)}")
    return run


def _check_object(root: Any, object_name: str) -> None:
    """Refuse a class that the project's config does not name."""
    names = [known.name for known in root.pickable_objects]
    if object_name not in names:
        raise InputError(f"expected a class of the project, found '{object_name}': its config has {listed(names)}")
