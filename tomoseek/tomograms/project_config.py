"""The config file of a copick project: found, read, and its folders located."""

import json
import os
from pathlib import Path
from typing import Any

from tomoseek.errors import InputError
from tomoseek.messages import warn_once
from tomoseek.tomograms.opening import is_volume
from tomoseek.tomograms.packed_files import split_name

CONFIG_NAME = "copick.json"


def find_config(path: str | Path | None) -> Path:
    """Find the copick config file that ``data.project`` means: a file, or ``copick.json`` in a folder.

    Raises
    ------
    InputError
        When there is none; the message says how tomograms that are no project yet become one.
    """
    if path is None or str(path) == "":
        raise InputError(
            "expected a copick project, found none: give its config file, data.project=path/to/copick.json"
        )
    config_path = Path(path).expanduser()
    if is_volume(config_path) and config_path.exists():
        raise InputError(
            f"expected a copick project in data.project, found the tomogram {config_path}: make a project of it with "
            f"python -m tomoseek import 'volumes={config_path}' out_dir=project, or search in it with python -m embed "
            f"query tomogram={config_path}"
        )
    if config_path.is_dir():
        if not (config_path / CONFIG_NAME).is_file():
            raise _no_config_in(config_path)
        config_path = config_path / CONFIG_NAME
    if not config_path.is_file():
        raise InputError(f"expected a copick config at {config_path}, found no such file: check data.project")
    return config_path.resolve()


def _no_config_in(folder: Path) -> InputError:
    volumes = sorted(path for path in folder.iterdir() if is_volume(path))
    if not volumes:
        return InputError(
            f"expected {CONFIG_NAME} in the folder {folder}, found none: give the copick config file itself"
        )
    return InputError(
        f"expected {CONFIG_NAME} in the folder {folder}, found {len(volumes)} tomograms and none: make a project of "
        f"them with python -m tomoseek import 'volumes={folder}/*{split_name(volumes[0])[1]}' out_dir=project"
    )


def read_config(config_path: Path) -> dict[str, Any]:
    """Read a copick config as plain JSON, checking that it is one.

    Raises
    ------
    InputError
        When it is no JSON or no copick config, or names an object twice with different radii.
    """
    try:
        config = json.loads(config_path.read_text())
    except (ValueError, OSError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise InputError(f"expected JSON in the copick config {config_path}, found {error}: repair the file") from error
    objects = config.get("pickable_objects") if isinstance(config, dict) else None
    if not isinstance(objects, list) or not all(isinstance(item, dict) for item in objects):
        raise InputError(
            f"expected a copick config with 'pickable_objects' in {config_path}, found another kind of "
            "file: give the project's copick config"
        )
    radii: dict[Any, Any] = {}
    for item in objects:
        name, radius = item.get("name"), item.get("radius")
        if not isinstance(name, str):
            raise InputError(f"expected a name of every object in {config_path}, found {name}: name it")
        if radii.setdefault(name, radius) != radius:
            raise InputError(
                f"expected one radius of '{name}' in {config_path}, found {radii[name]} and {radius} Å: take out one "
                "of the two entries, or rename it"
            )
    return dict(config)


def local_path(url: str) -> Path | None:
    """Return the folder a copick root means, None when it is remote."""
    protocol, separator, rest = url.partition("://")
    if not separator:
        return Path(url).expanduser()
    return Path(rest).expanduser() if protocol in ("local", "file") else None


def locate_roots(config: dict[str, Any], config_path: Path) -> dict[str, Any]:
    """Return a config whose local roots are absolute, and exist or may be made.

    A data root (``static_root``, else ``overlay_root``) that is gone is looked for by its last name beside the config
    file, for projects are moved and mounted elsewhere. An overlay that is not there is a new one, made where the config
    says; only when the data had to be looked for beside the config it is expected there too. Each is told.

    Raises
    ------
    InputError
        When the data are gone, or the overlay cannot be made.
    """
    located = dict(config)
    of_files = config["config_type"] == "filesystem"
    data_key = "static_root" if config.get("static_root") else "overlay_root"
    if of_files and config.get(data_key) is None:
        raise InputError(
            f"expected 'overlay_root' in {config_path}, found none: see the copick documentation on filesystem projects"
        )
    is_moved = False
    for key in ("static_root", "overlay_root"):
        url = config.get(key)
        if url is None:
            continue
        if not isinstance(url, str) or not url:
            raise InputError(f"expected an address as {key} in {config_path}, found {url!r}: correct it")
        named = local_path(url)
        if named is None:
            continue
        beside = config_path.parent / (named.name if named.is_absolute() else named)
        folder = named if named.is_absolute() else _relative(named, beside, key, config_path)
        if _is_there(folder):
            if named.is_absolute() and _is_there(beside) and not beside.samefile(folder):
                warn_once(f"{key} of {config_path} is {folder}; {beside} is not used")
        elif of_files and key == data_key:
            if not _is_there(beside):
                raise InputError(
                    f"expected the data of {config_path} in {folder}, found no such folder: if the project was "
                    f"moved, put '{folder.name}/' beside {config_path.name} or correct its path there"
                )
            warn_once(f"{key} of {config_path} is {folder}, which is not there: {beside} is used instead")
            folder, is_moved = beside, True
        elif is_moved:
            warn_once(
                f"{key} of {config_path} is {folder}, which is not there, nor are its data: picks are read from and "
                f"written to {beside} instead"
            )
            folder = beside
        else:
            _check_may_be_made(folder, key, config_path)
            warn_once(
                f"{key} of {config_path} is {folder}, which is not there yet: no picks are read from it, and it is "
                "made when the first are written"
            )
        located[key] = f"local://{folder}"
    return located


def _relative(named: Path, beside: Path, key: str, config_path: Path) -> Path:
    """Resolve a relative root: beside the config file, where the project lies, before the working folder."""
    here = named.resolve()
    if _is_there(here) and not _is_there(beside):
        return here
    if _is_there(here) and not here.samefile(beside):
        warn_once(
            f"{key} of {config_path} is {named}, which is also in the working folder: {beside} is used, {here} is not"
        )
    return beside


def _is_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:  # a folder above it may not be looked into
        return False


def _check_may_be_made(folder: Path, key: str, config_path: Path) -> None:
    """Refuse an overlay that could not be made when the first picks are to be written."""
    above = next((parent for parent in folder.parents if os.path.lexists(parent)), folder.parent)
    if not _is_there(above) or not os.access(above, os.W_OK | os.X_OK):
        why = "cannot be written" if _is_there(above) else "is no folder"
        raise InputError(
            f"expected a folder for picks in {folder} ({key} of {config_path}), found none, and {above} {why}: name a "
            "folder of your own there"
        )
