"""Dynamo tables: 24 to 26 are x y z in voxels from the corner, so that the centre of the first voxel is 0.5.

References
----------
Dynamo wiki, "Table convention" (columns; 4 to 6 are shifts that are added, 10 the correlation, 20 the number of the
tomogram) and "Volume center": the origin is the corner of the first pixel, centres of voxels are half-integers.
"""

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tomoseek.errors import InputError
from tomoseek.files import atomic_write_text
from tomoseek.geometry import points_to_voxels, voxels_to_points
from tomoseek.picks.points import PickRow, Picks
from tomoseek.picks.star_read import run_of

HALF_VOXEL = 0.5  # the centre of the first voxel, counted from its corner
_COLUMNS = ["x", "y", "z", "dx", "dy", "dz", "cc", "tomo"]


def read_dynamo(
    path: Path, tomograms: Mapping[str, Any], run: str | None = None, pixel_size: float | None = None
) -> dict[str, Picks]:
    """Read the particle centres of a Dynamo table, shifts added.

    Parameters
    ----------
    path
        The ``.tbl``. Beside it a ``.doc`` of the same name may say which number (column 20) is which tomogram's file.
    tomograms
        By run: objects with ``voxel_spacing`` (Å).
    run
        The run of all particles; None asks the ``.doc``, or else the table's number or name to be that of a run.
    pixel_size
        Å per voxel of the volume the table was made in; None is the tomogram's.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    InputError
        When it is no such table, or nothing says which tomogram is meant.
    """
    import dynamotable  # slow to import

    if not path.is_file():
        raise FileNotFoundError(f"expected a Dynamo table at {path}, found no such file: check the path")
    try:
        table = dynamotable.read(str(path))
        values = table[_COLUMNS].to_numpy(dtype=np.float64)  # (n, 8)
    except (ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"expected a Dynamo table of 26 columns or more in {path}, found {reason}: export it"
        ) from error
    if not np.isfinite(values).all():
        raise InputError(f"expected numbers in columns 4 to 26 of {path}, found NaN or infinity: repair the table")
    numbers = values[:, 7]
    scores = values[:, 6] if values[:, 6].any() else np.ones(len(values))
    named = _names(path)
    found: dict[str, Picks] = {}
    for number in dict.fromkeys(numbers):
        at = run or _run(f"{number:g}", named, tomograms, path)
        rows = numbers == number
        voxels = values[rows, :3] + values[rows, 3:6] - HALF_VOXEL  # (n, 3) x y z
        points = voxels_to_points(voxels, tomograms[at].voxel_spacing, pixel_size)
        picks = Picks(points, scores[rows])
        found[at] = found[at] + picks if at in found else picks
    return found


def write_dynamo(path: Path, rows: Iterable[PickRow], tomograms: Mapping[str, Any], pixel_size: float | None) -> None:
    """Write picks of one class as a Dynamo table, and beside it the ``.doc`` that numbers the tomograms.

    Parameters
    ----------
    path
        The ``.tbl``.
    rows
        (run, object name, picks).
    tomograms
        By run: objects with ``voxel_spacing`` (Å).
    pixel_size
        Å per voxel of the volume to be used in Dynamo; None is the tomogram's.
    """
    import dynamotable
    import pandas as pd

    parts, numbered = [], []
    for number, (run, _, picks) in enumerate(rows, start=1):
        spacing = tomograms[run].voxel_spacing
        voxels = points_to_voxels(picks.points_xyz, spacing, pixel_size) + HALF_VOXEL
        columns = dict(zip("xyz", voxels.round(3).T, strict=True))
        apix = pixel_size or spacing
        parts.append(pd.DataFrame({**columns, "cc": picks.scores, "tomo": number, "apix": apix}))
        numbered.append(f"{number} {run}.mrc")
    table = pd.concat(parts, ignore_index=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        dynamotable.write(table, f"{folder}/table.tbl")
        os.replace(f"{folder}/table.tbl", path)
    atomic_write_text(path.with_suffix(".doc"), "\n".join(numbered) + "\n")


def _names(path: Path) -> dict[str, str]:
    """Files of the tomograms by their numbers, from the ``.doc`` beside a table; none where there is none."""
    doc = path.with_suffix(".doc")
    lines = doc.read_text(errors="replace").splitlines() if doc.is_file() else []
    return {words[0]: words[1].strip() for line in lines if len(words := line.split(maxsplit=1)) == 2}


def _run(number: str, named: Mapping[str, str], tomograms: Mapping[str, Any], path: Path) -> str:
    """Return the run that a number of the table means."""
    found = run_of(named[number], tomograms) if number in named else number if number in tomograms else None
    found = found or (None if named else run_of(path.stem, tomograms))
    if found is None:
        raise InputError(
            f"expected a {path.with_suffix('.doc').name} beside {path} that says which run tomogram {number} is (lines "
            f"such as '{number} TS_1.mrc'), found {named.get(number, 'none')}: write it, or give run=..."
        )
    return found
