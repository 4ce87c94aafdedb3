"""EMAN2: boxes of tomograms in its info files (JSON), and plain text with x y z on each line.

In the JSON, with ``apix_unbin``, coordinates count unbinned pixels from the middle voxel of the tomogram, number
``n // 2`` along each axis; without it, which is how EMAN2 wrote before 2018, they are numbers of voxels. Text files
hold numbers of voxels too. 0 is the centre of the first.

References
----------
EMAN2, ``e2spt_boxer.py``: ``b[0] / apix * apix_unbin + nx // 2`` as boxes are read; a box is x, y, z, method, score and
class; ``class_list`` names the classes.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoseek.errors import InputError
from tomoseek.files import atomic_write_json
from tomoseek.geometry import angstrom_to_cells, indices_to_points, points_to_voxels, voxels_to_points
from tomoseek.picks.points import Picks

_BOXES, _CLASSES, _UNBINNED = "boxes_3d", "class_list", "apix_unbin"


def read_eman_json(path: Path, tomogram: Any, pixel_size: float | None = None) -> dict[str | None, Picks]:
    """Read the boxes of an info file, by the names of their classes.

    Parameters
    ----------
    path
        ``<tomogram>_info.json``.
    tomogram
        Its ``shape`` (z y x) and ``voxel_spacing`` (Å).
    pixel_size
        Å per voxel of the volume that old files, without ``apix_unbin``, count in; None is the tomogram's.

    Raises
    ------
    InputError
        When it is no such file, or holds no box.
    """
    try:
        info = json.loads(path.read_text())
        boxes = info[_BOXES]
        places = np.array([box[:3] for box in boxes], dtype=np.float64).reshape(-1, 3)  # (n, 3) x y z
        classes = [str(int(box[5])) if len(box) > 5 else "0" for box in boxes]
        scores = np.array([float(box[4]) if len(box) > 4 else 1.0 for box in boxes])
        names = {str(key): str(value["name"]) for key, value in info.get(_CLASSES, {}).items()}
        unbinned = float(info.get(_UNBINNED) or 0)
    except (ArithmeticError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"expected an info file of EMAN2 with {_BOXES} in {path}, found {error!r}: export it"
        ) from error
    if not len(boxes):
        raise InputError(f"expected at least one box in {path}, found none: check the file")
    if unbinned:
        points = voxels_to_points(places, unbinned) + _middle(tomogram)
    else:
        points = voxels_to_points(places, tomogram.voxel_spacing, pixel_size)
    scores = scores if scores.any() else np.ones(len(scores))
    named = [names.get(each) for each in classes]
    rows = {name: [name == each for each in named] for name in dict.fromkeys(named)}
    return {name: Picks(points[mine], scores[mine]) for name, mine in rows.items()}


def read_text(path: Path, voxel_spacing: float, pixel_size: float | None = None) -> Picks:
    """Read ``x y z`` on each line, in voxels, parted by spaces or tabs.

    Raises
    ------
    InputError
        When a line does not hold three numbers; boxes in two dimensions (x y width height) have no z.
    """
    rows = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        words = line.split("#")[0].split()
        try:
            if words:
                rows.append([float(word) for word in words])
            if words and (len(words) != 3 or "_" in line or not np.isfinite(rows[-1]).all()):
                raise ValueError
        except ValueError as error:
            raise InputError(
                f"expected three numbers, x y z in voxels, in line {number} of {path}, found '{line.strip()[:60]}': "
                "export coordinates in three dimensions"
            ) from error
    if not rows:
        raise InputError(f"expected at least one point in {path}, found none: check the file")
    return Picks(voxels_to_points(rows, voxel_spacing, pixel_size))


def write_eman_json(path: Path, picks: Mapping[str, Picks], radii: Mapping[str, float], tomogram: Any) -> None:
    """Write the picks of one run as an info file, a class for each object; its unbinned pixels are the voxels.

    Parameters
    ----------
    path
        ``info/<tomogram>_info.json`` is where EMAN2 looks.
    picks
        By class.
    radii
        Å, by class; a box is three times as wide.
    tomogram
        Its ``shape`` (z y x) and ``voxel_spacing`` (Å).
    """
    spacing = tomogram.voxel_spacing
    boxes: list[list[Any]] = []
    classes = {}
    for number, (name, each) in enumerate(picks.items()):
        places = points_to_voxels(each.points_xyz - _middle(tomogram), spacing).round(3)  # (n, 3) x y z
        boxes += [
            [*place, "tomoseek", score, number] for place, score in zip(places.tolist(), each.scores, strict=True)
        ]
        classes[str(number)] = {"name": name, "boxsize": math.ceil(angstrom_to_cells(3 * radii[name], spacing))}
    atomic_write_json(path, {_UNBINNED: spacing, _BOXES: boxes, _CLASSES: classes})


def _middle(tomogram: Any) -> NDArray[np.float64]:
    """Point ``(3,)`` x y z in Å of the middle voxel."""
    middle: NDArray[np.float64] = indices_to_points(np.array(tomogram.shape) // 2, tomogram.voxel_spacing)[0]
    return middle
