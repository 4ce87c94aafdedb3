"""Checks of a project as a whole: where picks will go, and which objects it names."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tomoseek.doctor.findings import Finding, Level
from tomoseek.messages import listed
from tomoseek.tomograms.project_config import find_config, local_path, read_config


def check_objects(config_path: str | None) -> Iterator[Finding]:
    """Report the objects that a copick config names.

    Raises
    ------
    InputError
        When the config cannot be read.
    """
    objects = read_config(find_config(config_path))["pickable_objects"]
    particles = [known for known in objects if known.get("is_particle", True)]
    text = ", ".join(
        f"{known.get('name')} ({known['radius']:g} Å)" if known.get("radius") else f"{known.get('name')} (no radius)"
        for known in particles
    )
    yield Finding(Level.fine, "objects", f"objects to pick: {text or 'none'}")
    times = Counter(str(known.get("name")) for known in objects)
    for name, number in times.items():
        if number > 1:
            text = f"{name} is named {number} times under pickable_objects: take out all entries but one"
            yield Finding(Level.warning, "objects", text)
    if lacking := list(dict.fromkeys(str(known.get("name")) for known in particles if not known.get("radius"))):
        yield Finding(
            Level.warning, "objects", f"no radius: {listed(lacking)}; training and scoring need it: add \"radius\" (Å) "
            "to each entry under pickable_objects",
        )  # fmt: skip


def check_overlay(root: Any) -> Iterator[Finding]:
    """Report a local folder for picks in which no picks can be stored."""
    folder = local_path(getattr(root.config, "overlay_root", None) or "none://")
    if folder is not None and not is_writable(folder):
        yield Finding(Level.warning, "overlay", f"{folder} is not writable: picks cannot be stored there")


def is_writable(folder: Path) -> bool:
    """Tell whether a file can be made in a folder, or in the nearest one above it that is there."""
    try:
        with tempfile.TemporaryFile(dir=nearest_folder(folder)):
            return True
    except OSError:
        return False


def nearest_folder(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder
