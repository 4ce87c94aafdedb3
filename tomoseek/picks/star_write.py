"""Write particle star files: for RELION 5, 4, or 3 and Warp."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoseek.errors import InputError
from tomoseek.files import atomic_write_text
from tomoseek.geometry import indices_to_points
from tomoseek.picks.points import PickRow

RUN, MICROGRAPH = "rlnTomoName", "rlnMicrographName"
CENTRED = [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
PIXELS = [f"rlnCoordinate{axis}" for axis in "XYZ"]
SCORE = "rlnAutopickFigureOfMerit"
PIXEL_SIZE = "rlnTomoTiltSeriesPixelSize"
GROUP = "rlnOpticsGroup"
# RELION 3 divides the pixel of the detector (micrometres) by the magnification; at 10000 it is the pixel size in Å.
MAGNIFICATION, DETECTOR, UNIT_MAGNIFICATION = "rlnMagnification", "rlnDetectorPixelSize", 10000
OWN_PIXEL_SIZE = "rlnPixelSize"
TOMOSTAR = ".tomostar"


def write_star(
    path: str | Path,
    rows: Iterable[PickRow],
    tomograms: Iterable[Any],
    pixel_size: float | None = None,
    relion: int | None = None,
) -> None:
    """Write picks of one class as a particle star file.

    RELION 5: ``rlnCenteredCoordinate{X,Y,Z}Angst`` is the distance in Å from the centre of the volume, which lies at
    half its shape times the voxel spacing, as copick exports it. RELION 4: ``rlnCoordinate{X,Y,Z}`` counts pixels
    of the unbinned tilt series from the corner, and an optics table gives their size. RELION 3, for Warp and M, which
    know no centred coordinates: ``rlnCoordinate{X,Y,Z}`` counts voxels, 0 at the centre of the first,
    ``rlnMicrographName`` is the run with ``.tomostar``, and ``rlnPixelSize``, which is ``rlnDetectorPixelSize`` at a
    magnification of 10000, is the size of a voxel in Å. ``rlnAutopickFigureOfMerit`` is the score.

    Parameters
    ----------
    path
        The file.
    rows
        (run, object name, picks); RELION wants one class per file.
    tomograms
        The `Tomogram` of every run in ``rows``: its shape and voxel spacing put the centre.
    pixel_size
        RELION 4: Å per pixel of the unbinned tilt series. RELION 3: Å per pixel of the coordinates, None takes the
        voxels of the tomograms. RELION 5 needs none.
    relion
        3, 4 or 5; None is 4 where a pixel size is given, else 5.

    Raises
    ------
    ValueError
        When the picks are of several classes.
    InputError
        When a run's name cannot stand in a star file: it has quotes beside a space or another mark that needs them.
        For RELION 3 without a pixel size, when voxels are not of one size.

    Notes
    -----
    Not written with starfile: it quotes for spaces only, and puts the time of day into the file.

    References
    ----------
    RELION 5 documentation, subtomogram tutorial, "Particle coordinates": centred coordinates in Å. RELION 4,
    "Particle set" among its data types, and ``src/jaz/tomography/apps/import_particles.cpp``: the import takes the
    first table of the file, so the particles come before the optics. Warp,
    ``docs/reference/warptools/tomogram_particle_files.md``: "RELION 3.0", zero at the center of the first voxel, and
    the columns of its own export of subtomograms.
    """
    rows, tomograms = list(rows), list(tomograms)
    names = sorted({object_name for _, object_name, _ in rows})
    if len(names) > 1:
        raise ValueError(
            f"expected picks of one class for one star file, found {', '.join(names)}: write one file each"
        )
    relion = relion or (5 if pixel_size is None else 4)
    centres = {tomogram.run: centre_of(tomogram) for tomogram in tomograms}
    size = (_one_spacing(rows, tomograms) if relion == 3 else 1.0) if pixel_size is None else pixel_size
    columns = {
        5: [RUN, *CENTRED, SCORE],
        4: [RUN, *PIXELS, SCORE, GROUP],
        3: [MICROGRAPH, *PIXELS, SCORE, MAGNIFICATION, DETECTOR, OWN_PIXEL_SIZE],
    }
    ending = {5: "", 4: " 1", 3: f" {UNIT_MAGNIFICATION} {size:g} {size:g}"}[relion]
    lines = _head("" if relion == 3 else "particles", columns[relion])
    for run, _, picks in rows:
        name = _word(f"{run}{TOMOSTAR}" if relion == 3 else run)
        places = picks.points_xyz - centres[run] if relion == 5 else picks.points_xyz / size  # (n, 3) x y z
        for (x, y, z), score in zip(places, picks.scores, strict=True):
            lines.append(f"{name} {x:.3f} {y:.3f} {z:.3f} {score:.6g}{ending}")
    if relion == 4:
        lines += ["", *_head("optics", [GROUP, f"{GROUP}Name", PIXEL_SIZE]), f"1 opticsGroup1 {size:g}"]
    atomic_write_text(Path(path), "\n".join(lines) + "\n")


def _one_spacing(rows: list[PickRow], tomograms: list[Any]) -> float:
    """Voxel spacing of the tomograms that hold picks, Å."""
    runs = {run for run, _, _ in rows}
    spacings = {round(float(each.voxel_spacing), 3) for each in tomograms if each.run in runs} or {1.0}
    if len(spacings) > 1:
        raise InputError(
            f"expected voxels of one size for a star file of RELION 3, found {min(spacings):g} to {max(spacings):g} Å: "
            "give the pixel size that coordinates shall count in"
        )
    return spacings.pop()


def _word(name: str) -> str:
    """A run's name as one word of a line, in quotes where it would be taken for several, a comment or a new table."""
    if not re.search(r"[\s#]|^(['\"_]|data_|loop_|$)", name):
        return name
    if re.search("['\"]", name):
        raise InputError(
            f"expected names of runs without quotes beside spaces or # in a star file, found {name}: rename the run, "
            "or write the picks as CSV"
        )
    return f'"{name}"'


def _head(table: str, columns: list[str]) -> list[str]:
    """Lines that open a table."""
    return [f"data_{table}", "", "loop_", *(f"_{column} #{number}" for number, column in enumerate(columns, start=1))]


def centre_of(tomogram: Any) -> NDArray[np.float64]:
    """Centre ``(3,)`` x y z in Å of a volume, at half its shape."""
    centre: NDArray[np.float64] = indices_to_points(np.array(tomogram.shape) / 2, tomogram.voxel_spacing)[0]
    return centre
