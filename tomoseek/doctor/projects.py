"""Checks of a project as a whole: where picks will go, and which objects it names."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tomoseek.doctor.findings import Finding, Level
from tomoseek.messages import listed
from tomoseek.tomograms.project import find_config, local_path, read_config


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
            radii = listed(f"{known.get('radius')} Å" for known in objects if known.get("name") == name)
            yield Finding(
                Level.problem, "objects", f"expected one object named {name}, found {number} (radii {radii}): keep one "
                "entry under pickable_objects",
            )  # fmt: skip
    if lacking := list(dict.fromkeys(str(known.get("name")) for known in particles if not known.get("radius"))):
        yield Finding(
            Level.warning, "objects", f"no radius: {listed(lacking)}; training and scoring need it: add \"radius\" (Å) "
            "to each entry under pickable_objects",
        )  # fmt: skip


def check_overlay(config_path: str | None, root: Any) -> Iterator[Finding]:
    """Report whether picks can be stored, and whether that is where the config says.

    Raises
    ------
    InputError
        When the config cannot be read.
    """
    written = read_config(find_config(config_path)).get("overlay_root") or ""
    opened = local_path(getattr(root.config, "overlay_root", None) or "")
    if not str(opened or ""):
        return
    assert opened is not None
    said = local_path(written)
    if said is not None and said.is_absolute() and said != opened:
        yield Finding(
            Level.warning, "overlay", f"the config says that picks go to {said}, which is not there; they will go to "
            f"{opened}: make the folder, or correct overlay_root",
        )  # fmt: skip
    elif not opened.is_dir():
        yield Finding(
            Level.warning, "overlay", f"{opened} (overlay_root, where picks go) is not there yet; it will be made when "
            "picks are stored: check that it is the place you mean",
        )  # fmt: skip
    if not is_writable(opened):
        yield Finding(Level.warning, "overlay", f"{opened} is not writable: picks cannot be stored there")


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
