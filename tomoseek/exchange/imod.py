"""IMOD models: x y z in voxels from the corner in x and y, from the middle of the first section in z.

The centre of the first voxel is (0.5, 0.5, 0).

References
----------
IMOD, ``doc/binspec.html`` (layout; bit 10 of the model's flags: z is numbered from -0.5) and the man pages of
``model2point`` and ``point2model``, whose option ``ZCoordinatesFromZero`` counts z as x and y are.
"""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tomoseek.errors import InputError
from tomoseek.files import atomic_path
from tomoseek.geometry import angstrom_to_cells, points_to_voxels, voxels_to_points
from tomoseek.picks.points import Picks

FIRST_CENTRE_XYZ = np.array([0.5, 0.5, 0.0])
_MISSING = "expected the package imodmodel for IMOD models, found none: pip install imodmodel"


def read_imod(path: Path, voxel_spacing: float, pixel_size: float | None = None) -> dict[str | None, Picks]:
    """Read the points of an IMOD model, of whatever kind its contours are.

    Parameters
    ----------
    path
        The ``.mod``. It was drawn on the tomogram or, where ``pixel_size`` is given, on a volume binned otherwise.
    voxel_spacing
        Å per voxel of the tomogram.
    pixel_size
        Å per voxel of the volume the model was drawn on; None is the tomogram's.

    Returns
    -------
    Picks by the name of the model's object; None for those without a name.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    InputError
        When it is no IMOD model, or holds no point.
    """
    _model_type()
    from imodmodel.parsers import parse_model

    if not path.is_file():
        raise FileNotFoundError(f"expected an IMOD model at {path}, found no such file: check the path")
    data = path.read_bytes()
    if data[:4] != b"IMOD":
        raise InputError(f"expected an IMOD model (binary) in {path}, found another kind of file: save it in 3dmod")
    try:
        model = parse_model(_WholeFile(data))
    except Exception as error:  # a damaged file raises whatever its bytes lead to
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"expected a whole IMOD model in {path}, found {reason}: save it again") from error
    found: dict[str | None, list[Any]] = {}
    for each in model.objects:
        points = [contour.points for contour in each.contours if len(contour.points)]
        if points:
            found.setdefault(str(each.header.name).strip() or None, []).extend(points)
    if not found:
        raise InputError(f"expected at least one point in {path}, found none: check the model")
    return {
        name: Picks(voxels_to_points(np.concatenate(points) - FIRST_CENTRE_XYZ, voxel_spacing, pixel_size))
        for name, points in found.items()
    }


def write_imod(
    path: Path,
    picks: Mapping[str, Picks],
    radii: Mapping[str, float],
    tomogram: Any,
    pixel_size: float | None = None,
) -> None:
    """Write the picks of one run as an IMOD model of scattered points, one object for each class.

    Parameters
    ----------
    path
        The ``.mod``.
    picks
        By class.
    radii
        Å, by class: spheres of that size are drawn.
    tomogram
        Its ``shape`` (z y x) and ``voxel_spacing`` (Å).
    pixel_size
        Å per voxel of the volume to be shown in 3dmod; None is the tomogram's.
    """
    model_type = _model_type()
    from imodmodel.models import Contour, Object

    pixel = pixel_size or tomogram.voxel_spacing
    model = model_type()
    model.header.flags.z_coordinates_start_from_negative_half = True
    z, y, x = (int(np.ceil(angstrom_to_cells(side * tomogram.voxel_spacing, pixel))) for side in tomogram.shape)
    model.header.xmax, model.header.ymax, model.header.zmax = x, y, z
    for name, each in picks.items():
        voxels = points_to_voxels(each.points_xyz, tomogram.voxel_spacing, pixel_size) + FIRST_CENTRE_XYZ  # (n, 3)
        shown = Object(contours=[Contour(points=voxels)])
        shown.header.name = name
        shown.header.flags.scattered = True
        shown.header.pdrawsize = max(1, round(angstrom_to_cells(radii[name], pixel)))
        shown.update_sizes()
        model.objects.append(shown)
    model.update_sizes()
    with atomic_path(path) as temporary, warnings.catch_warnings(action="ignore"):  # of pydantic to imodmodel
        model.to_file(temporary)


class _WholeFile(io.BytesIO):
    """A model whose parts fit into it: imodmodel would look for the end of a cut one, or make room, for ever."""

    def read(self, size: int | None = -1, /) -> bytes:
        read = super().read(size)
        counts = self.getbuffer()[self.tell() : self.tell() + 8]
        sizes = {b"CONT": [counts[:4]], b"MESH": [counts[:4], counts[4:]]}.get(read, [])
        if (size or 0) > len(read) or any(int.from_bytes(each, "big") > len(self.getbuffer()) for each in sizes):
            raise EOFError("an end too early")
        return read


def _model_type() -> Any:
    """The class of imodmodel that reads and writes."""
    try:
        from imodmodel import ImodModel
    except ImportError as error:
        raise InputError(_MISSING) from error
    return ImodModel
