"""Open, create and extend copick projects kept as files.

A project made here has the layout of the CZII challenge: ``copick.json`` beside ``static/`` (tomograms, read
only to copick) and ``overlay/`` (picks).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import copick
from copick.util.escape import sanitize_name

from tomoseek.complexes import COMPLEXES, Complex
from tomoseek.errors import InputError
from tomoseek.files import atomic_write_json
from tomoseek.messages import listed, warn
from tomoseek.tomograms.project_config import CONFIG_NAME, find_config, locate_roots, read_config
from tomoseek.tomograms.remote import open_roots


def open_project(path: str | Path | None) -> Any:
    """Open a copick project.

    Data that are no longer there are looked for beside the config file, so a project folder may be moved or mounted
    elsewhere; the file itself is left as it is. Roots elsewhere (S3, http and so on) are reached in half a minute or
    not at all.

    Parameters
    ----------
    path
        Copick config file, or a folder that holds ``copick.json``.

    Returns
    -------
    The copick root.

    Raises
    ------
    InputError
        When no path is given, nothing is there, the file is no copick config, its data are gone or cannot be reached,
        or its overlay cannot be made.
    """
    config_path = find_config(path)
    config = read_config(config_path)
    config.setdefault("config_type", "filesystem")
    located = locate_roots(config, config_path)
    try:
        return open_roots(located, config_path)
    except InputError:
        raise
    except (ValueError, TypeError) as error:  # copick's checks compare what they are given with numbers
        reason = " ".join(str(error).split())
        raise InputError(f"expected a copick config in {config_path}, found one copick refuses: {reason}") from error


def create_project(folder: str | Path, objects: Iterable[Complex], name: str = "tomoseek") -> Any:
    """Create a copick project in a folder, or extend the one already there by the objects it lacks.

    Parameters
    ----------
    folder
        Created when missing; gets ``copick.json``, ``static/`` and ``overlay/``.
    objects
        Classes to pick. Copick wants lower-case names with hyphens.
    name
        Of a new project.

    Returns
    -------
    The copick root.

    Raises
    ------
    InputError
        When a name is not one copick accepts, or the project has the object with another radius.
    """
    folder = Path(folder).resolve()
    config_path = folder / CONFIG_NAME
    for part in ("static", "overlay"):
        (folder / part / "ExperimentRuns").mkdir(parents=True, exist_ok=True)
    if config_path.is_file():
        config = read_config(config_path)
    else:
        config = {
            "config_type": "filesystem",
            "name": name,
            "description": f"{name}: tomograms in static/, picks in overlay/",
            "version": copick.__version__,
            "pickable_objects": [],
            # copick knows absolute locations only.
            "overlay_root": f"local://{folder / 'overlay'}",
            "static_root": f"local://{folder / 'static'}",
            "overlay_fs_args": {"auto_mkdir": True},
            "static_fs_args": {"auto_mkdir": True},
        }
    for new in objects:
        _add_object(config, new)
    _write_config(config_path, config)
    return open_project(config_path)


def ensure_object(path: str | Path | None, new: Complex) -> Any:
    """Add a class to the config file of a project unless it is there, and open the project.

    Parameters
    ----------
    path
        As for `open_project`.
    new
        The class. copick stores picks only of classes its config names.

    Returns
    -------
    The copick root.

    Raises
    ------
    InputError
        As for `create_project`.
    """
    config_path = find_config(path)
    config = read_config(config_path)
    if _add_object(config, new):
        _write_config(config_path, config)
    return open_project(config_path)


def object_radii(
    root: Any, wanted: Iterable[str] | None = None, given: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return the radius in Å of each object: the one given, else the project's, else that of a complex known by name.

    Parameters
    ----------
    root
        Copick project, if there is one.
    wanted
        Names of objects; None is every particle object of the project, in its order, but for those without a radius,
        of which it is warned.
    given
        Radii in Å by object, for objects that the project does not know or has without a radius.

    Raises
    ------
    InputError
        When nothing knows the radius of a wanted object, the project knows another one than is given, or one is given
        of what is not wanted.
    """
    given = given or {}
    objects = root.pickable_objects if root is not None else ()
    known = {item.name: float(item.radius or 0) for item in objects if item.is_particle}
    names = list(known if wanted is None else wanted)
    if strays := sorted(set(given) - set(names)):
        raise InputError(f"radius: expected radii of {listed(names)}, found one of '{strays[0]}'; correct its name")
    radii = {}
    for name in names:
        if name not in known and name not in given and not (root is None and name in COMPLEXES):
            where = f"is no particle of the project ({listed(known)})" if root is not None else "nothing says"
            raise InputError(
                f"expected the radius of '{name}' in Å, which {where}; give radius=..., or correct the name"
            )
        if known.get(name) and abs(given.get(name, known[name]) - known[name]) > 1e-6:
            raise InputError(
                f"radius: expected the project's radius of '{name}', {known[name]:g} Å, found {given[name]:g} Å; leave "
                "it out, or take another name"
            )
        by_name = COMPLEXES[name].radius_angstrom if name in COMPLEXES else 0.0
        radius = float(given.get(name) or known.get(name) or by_name)
        if radius > 0:
            radii[name] = radius
        elif wanted is None:
            warn(f'{name} has no radius in the copick config and is left out; add "radius" (Å) to its entry')
        else:
            raise InputError(
                f"radius: expected the radius of '{name}' in Å, found none; give it, or add \"radius\" to its entry "
                "under pickable_objects"
            )
    return radii


def check_name(name: str, what: str) -> None:
    """Refuse a name that copick would silently change.

    Raises
    ------
    InputError
        With the name that copick would make of it.
    """
    try:
        accepted = sanitize_name(name, suppress_warnings=True)
    except ValueError:
        accepted = "x"
    if accepted != name:
        raise InputError(
            f"expected a {what} without spaces, underscores or any of <>:\"/\\|?*, found '{name}': use '{accepted}'"
        )


def _write_config(config_path: Path, config: dict[str, Any]) -> None:
    try:
        atomic_write_json(config_path, config)
    except OSError as error:
        raise InputError(
            f"expected to write an object into {config_path}, found {error}: copy the config to a folder of your own, "
            "with the roots as they are"
        ) from error


def _add_object(config: dict[str, Any], new: Complex) -> bool:
    """Add a class to a copick config in place; say whether it was new."""
    check_name(new.name, "class name")
    present = config["pickable_objects"]
    for known in present:
        if known["name"] != new.name:
            continue
        if known.get("radius") is not None and abs(known["radius"] - new.radius_angstrom) > 1e-6:
            raise InputError(
                f"expected the project's radius of '{new.name}', {known['radius']} Å, found "
                f"{new.radius_angstrom} Å: use the same radius or another name"
            )
        changed = known.get("radius") is None
        known["radius"] = new.radius_angstrom
        return changed
    present.append(
        {
            "name": new.name,
            "is_particle": True,
            "label": max((known.get("label") or 0 for known in present), default=0) + 1,
            "color": list(new.color),
            "radius": new.radius_angstrom,
            **({"pdb_id": new.pdb} if new.pdb else {}),
        }
    )
    return True
