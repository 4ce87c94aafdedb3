"""Coordinates of other programs, by the end of a file's name."""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from tomoseek.errors import InputError
from tomoseek.exchange.dynamo import read_dynamo
from tomoseek.exchange.eman import read_eman_json, read_text
from tomoseek.exchange.imod import read_imod
from tomoseek.geometry import voxels_to_points
from tomoseek.messages import listed
from tomoseek.picks.points import Picks
from tomoseek.picks.star_read import read_star, run_of
from tomoseek.picks.tables import read_objects_csv

TABLES, MODELS, TEXTS = (".csv", ".tsv"), (".tbl", ".mod", ".json"), (".box", ".coords", ".txt")
KINDS = ".csv, .tsv, .star (RELION, Warp), .tbl (Dynamo), .mod (IMOD), .json, .box, .coords or .txt (EMAN2)"

Coordinates = dict[str | None, dict[str, Picks]]  # by object, None where the file names none, and by run


class Units(Enum):
    """What the x, y, z of a table count; other kinds of files have units of their own."""

    angstrom = "angstrom"
    voxels = "voxels"


def read_coordinates(
    path: Path,
    tomograms: Mapping[str, Any],
    run: str | None = None,
    units: Units = Units.angstrom,
    pixel_size: float | None = None,
) -> Coordinates:
    """Read the picks of a file that another program, or a person, wrote.

    Parameters
    ----------
    path
        A table (CSV), RELION or Warp star file, Dynamo table, IMOD model, EMAN2 info file or plain text.
    tomograms
        By run: objects with ``shape`` (z y x) and ``voxel_spacing`` (Å).
    run
        The run of a file that names none; None takes it from the file's name.
    units
        Of a table: Å, or voxels that count from 0 at the centre of the first.
    pixel_size
        Å per voxel (star: per pixel) that coordinates count in; None follows the file, or is the tomogram's.

    Returns
    -------
    Picks by object and run, x y z in Å.

    Raises
    ------
    FileNotFoundError, InputError
        As those of the formats; also when nothing says which run is meant.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected coordinates at {path}, found no such file: check the path")
    if run is not None and run not in tomograms:
        raise InputError(f"run: expected one of {listed(sorted(tomograms), 8)}, found '{run}': correct it")
    kind = path.suffix.lower()
    if kind == ".star":
        return {None: read_star(path, tomograms, pixel_size=pixel_size)}
    if kind == ".tbl":
        return {None: read_dynamo(path, tomograms, run, pixel_size)}
    if kind in TABLES:
        named = read_objects_csv(path, default_run=run or _run(path, tomograms) or "")
        return {name: _in_angstrom(each, tomograms, units, pixel_size, path) for name, each in named.items()}
    if kind not in (*MODELS, *TEXTS):
        raise InputError(f"expected coordinates as {KINDS}, found {path}: convert it")
    at = run or _run(path, tomograms)
    if at is None:
        raise InputError(
            f"expected a file named after one of the runs {listed(sorted(tomograms), 8)}, as it names none inside, "
            f"found {path.name}: rename it, or give run=..."
        )
    tomogram = tomograms[at]
    if kind == ".mod":
        found = read_imod(path, tomogram.voxel_spacing, pixel_size)
    elif kind == ".json":
        found = read_eman_json(path, tomogram, pixel_size)
    else:
        found = {None: read_text(path, tomogram.voxel_spacing, pixel_size)}
    return {name: {at: picks} for name, picks in found.items()}


def _run(path: Path, tomograms: Mapping[str, Any]) -> str | None:
    """The run that a file's name means: TS_1.mod, TS_1_info.json or TS_1__bin4_info.json of EMAN2."""
    stem = path.stem.removesuffix("_info")
    return run_of(stem, tomograms) or run_of(stem.split("__")[0], tomograms)


def _in_angstrom(
    by_run: Mapping[str, Picks], tomograms: Mapping[str, Any], units: Units, pixel_size: float | None, path: Path
) -> dict[str, Picks]:
    """Picks of a table by the project's runs, in Å."""
    found: dict[str, Picks] = {}
    for name, picks in by_run.items():
        at = run_of(name, tomograms)
        if at is None:
            raise InputError(
                f"expected runs among {listed(sorted(tomograms), 8)} in {path}, found '{name or 'none'}': name them as "
                "the project does"
            )
        spacing = tomograms[at].voxel_spacing
        in_voxels = units is Units.voxels
        points = voxels_to_points(picks.points_xyz, spacing, pixel_size) if in_voxels else picks.points_xyz
        read = Picks(points, picks.scores)
        found[at] = found[at] + read if at in found else read
    return found
