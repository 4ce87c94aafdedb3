"""Particle star files: centred coordinates in Å (RELION 5), or pixels of the unbinned tilt series (RELION 4)."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tomoseek.errors import InputError
from tomoseek.files import atomic_write_text
from tomoseek.geometry import indices_to_points
from tomoseek.picks.points import PickRow, Picks

if TYPE_CHECKING:  # slow to import, and seldom needed
    import pandas as pd

RUN = "rlnTomoName"
CENTRED = [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
PIXELS = [f"rlnCoordinate{axis}" for axis in "XYZ"]
SHIFTS = [f"rlnOrigin{axis}Angst" for axis in "XYZ"]
FRAME = [f"rlnTomoSubtomogram{angle}" for angle in ("Rot", "Tilt", "Psi")]
SCORE = "rlnAutopickFigureOfMerit"
PIXEL_SIZE = "rlnTomoTiltSeriesPixelSize"
GROUP = "rlnOpticsGroup"


def read_star(path: str | Path, tomograms: Mapping[str, Any], run: str | None = None) -> dict[str, Picks]:
    """Read the particle centres of a star file, the inverse of `write_star`.

    Å from the centre of the tomogram where ``rlnCenteredCoordinate{X,Y,Z}Angst`` are there. Else
    ``rlnCoordinate{X,Y,Z}`` count pixels of the tilt series, however the tomogram or the extracted particle was
    binned, so that their size is ``rlnTomoTiltSeriesPixelSize`` of the optics table and not ``rlnImagePixelSize``. What
    refinement shifted (``rlnOrigin{X,Y,Z}Angst``) is taken off.

    Parameters
    ----------
    path
        The file.
    tomograms
        By run, which is ``rlnTomoName``: objects with ``shape`` (z y x) and ``voxel_spacing`` (Å).
    run
        Read the particles of this one only.

    Returns
    -------
    Picks by run, x y z in Å, with ``rlnAutopickFigureOfMerit`` as score where there is one.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    InputError
        When a column or the pixel size is missing, a tomogram is unknown, a value is no number, or no row is left.

    References
    ----------
    RELION 5, ``ParticleSet::getPosition`` in ``src/jaz/tomography/particle_set.cpp``.
    """
    particles, optics = _tables(Path(path))
    names_as_read = {name.replace("'", '"'): name for name in tomograms}  # starfile takes one quote for the other
    particles[RUN] = [names_as_read.get(name, name) for name in particles[RUN]]
    if run is not None:
        particles = particles[particles[RUN] == run]
    if particles.empty:
        where = f" of tomogram {run}" if run else ""
        raise InputError(f"expected at least one particle{where} in {path}, found none: check the file")
    names = particles[RUN].to_numpy()  # (n,)
    unknown = sorted(set(names) - set(tomograms))
    if unknown:
        raise InputError(
            f"expected rlnTomoName in {path} among the runs {', '.join(sorted(tomograms)[:8])}, found "
            f"'{unknown[0]}': name tomograms as the project does"
        )
    if set(CENTRED) <= set(particles):
        centres = {name: _centre(tomograms[name]) for name in set(names)}
        points = _numbers(particles, CENTRED, path) + np.stack([centres[name] for name in names])  # (n, 3) x y z
    elif set(PIXELS) <= set(particles):
        points = _numbers(particles, PIXELS, path) * _pixel_sizes(particles, optics, path)  # (n, 3) x y z
    else:
        raise InputError(
            f"expected columns {', '.join(CENTRED)} (RELION 5) or {', '.join(PIXELS)} (RELION 4) in {path}, found "
            f"{', '.join(map(str, particles))}: export the particles with their coordinates"
        )
    if set(SHIFTS) <= set(particles):
        points = points - _shifts(particles, path)
    scores = _numbers(particles, [SCORE], path)[:, 0] if SCORE in particles else np.ones(len(particles))
    return {name: Picks(points[names == name], scores[names == name]) for name in dict.fromkeys(names)}


def write_star(
    path: str | Path, rows: Iterable[PickRow], tomograms: Iterable[Any], tilt_series_pixel_size: float | None = None
) -> None:
    """Write picks of one class as a particle star file of RELION 5, or with a pixel size of RELION 4.

    RELION 5: ``rlnCenteredCoordinate{X,Y,Z}Angst`` is the distance in Å from the centre of the volume, which lies at
    half its shape times the voxel spacing, as copick exports it. RELION 4: ``rlnCoordinate{X,Y,Z}`` counts pixels
    of the unbinned tilt series from the corner, and an optics table gives their size. ``rlnAutopickFigureOfMerit``
    is the score.

    Parameters
    ----------
    path
        The file.
    rows
        (run, object name, picks); RELION wants one class per file.
    tomograms
        The `Tomogram` of every run in ``rows``: its shape and voxel spacing put the centre.
    tilt_series_pixel_size
        Å per pixel of the unbinned tilt series, for RELION 4; None writes for RELION 5.

    Raises
    ------
    ValueError
        When the picks are of several classes.
    InputError
        When a run's name cannot stand in a star file: it has quotes beside a space or another mark that needs them.

    Notes
    -----
    Not written with starfile: it quotes for spaces only, and puts the time of day into the file.

    References
    ----------
    RELION 5 documentation, subtomogram tutorial, "Particle coordinates": centred coordinates in Å. RELION 4,
    "Particle set" among its data types, and ``src/jaz/tomography/apps/import_particles.cpp``: the import takes the
    first table of the file, so the particles come before the optics.
    """
    rows = list(rows)
    names = sorted({object_name for _, object_name, _ in rows})
    if len(names) > 1:
        raise ValueError(
            f"expected picks of one class for one star file, found {', '.join(names)}: write one file each"
        )
    centres = {tomogram.run: _centre(tomogram) for tomogram in tomograms}
    pixel = tilt_series_pixel_size
    lines = _head("particles", [RUN, *CENTRED, SCORE] if pixel is None else [RUN, *PIXELS, SCORE, GROUP])
    group = "" if pixel is None else " 1"
    for run, _, picks in rows:
        name = _word(run)
        places = picks.points_xyz - centres[run] if pixel is None else picks.points_xyz / pixel  # (n, 3) x y z
        for (x, y, z), score in zip(places, picks.scores, strict=True):
            lines.append(f"{name} {x:.3f} {y:.3f} {z:.3f} {score:.6g}{group}")
    if pixel is not None:
        lines += ["", *_head("optics", [GROUP, f"{GROUP}Name", PIXEL_SIZE]), f"1 opticsGroup1 {pixel:g}"]
    atomic_write_text(Path(path), "\n".join(lines) + "\n")


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


def _tables(path: Path) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Return the particles and the optics groups of a star file; of the latter perhaps none."""
    import pandas as pd
    import starfile

    if not path.is_file():
        raise FileNotFoundError(f"expected a star file at {path}, found no such file: check the path")
    try:
        blocks = starfile.read(path, always_dict=True, parse_as_string=[RUN])
    except ValueError as error:
        raise InputError(f"expected a star file of particles in {path}, found {error}: export it again") from error
    # A block of one row need not be a loop.
    tables = {name: pd.DataFrame([block]) if isinstance(block, dict) else block for name, block in blocks.items()}
    particles = next((table for table in tables.values() if RUN in table), None)
    if particles is None:
        raise InputError(
            f"expected a star file with a table of particles and their tomograms (rlnTomoName) in {path}, found "
            f"{', '.join(f'data_{name}' for name in tables) or 'no table'}: give RELION's particles.star"
        )
    return particles, tables.get("optics", pd.DataFrame())


def _numbers(table: "pd.DataFrame", columns: list[str], path: str | Path) -> NDArray[np.float64]:
    """Return ``(n, columns)`` numbers."""
    import pandas as pd

    numbers = table[columns].apply(pd.to_numeric, errors="coerce")
    values: NDArray[np.float64] = numbers.to_numpy(dtype=np.float64, copy=True)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        found = table[columns].iloc[row, column]
        raise InputError(
            f"expected numbers in {columns[column]} of {path}, found '{found}' in particle {row + 1}: repair the row"
        )
    return values


def _pixel_sizes(particles: "pd.DataFrame", optics: "pd.DataFrame", path: str | Path) -> NDArray[np.float64]:
    """Å per pixel of the tilt series ``(n, 1)`` of each particle, by its optics group."""
    if PIXEL_SIZE not in optics:
        raise InputError(
            f"expected {PIXEL_SIZE} in the optics table of {path}, as {PIXELS[0]} counts pixels of the unbinned tilt "
            f"series, found {', '.join(map(str, optics)) or 'no such table'}: add it, or write {CENTRED[0]} and so on"
        )
    if len(optics) == 1:
        return np.full((len(particles), 1), _numbers(optics, [PIXEL_SIZE], path)[0, 0])
    if GROUP not in particles or GROUP not in optics:
        raise InputError(
            f"expected {GROUP} of particles and optics in {path}, which has {len(optics)} optics groups, found none: "
            "add it to both tables"
        )
    sizes = particles[GROUP].map(dict(zip(optics[GROUP], optics[PIXEL_SIZE], strict=True)))
    return _numbers(sizes.to_frame(PIXEL_SIZE), [PIXEL_SIZE], path)


def _shifts(particles: "pd.DataFrame", path: str | Path) -> NDArray[np.float64]:
    """Shifts ``(n, 3)`` in Å of the tomogram, out of the frame of each particle's subtomogram."""
    shifts = _numbers(particles, SHIFTS, path)
    if not set(FRAME) <= set(particles):
        return shifts
    frames = Rotation.from_euler("ZYZ", _numbers(particles, FRAME, path), degrees=True)
    return np.asarray(frames.apply(shifts, inverse=True))


def _centre(tomogram: Any) -> NDArray[np.float64]:
    """Centre ``(3,)`` x y z in Å of a volume, at half its shape."""
    centre: NDArray[np.float64] = indices_to_points(np.array(tomogram.shape) / 2, tomogram.voxel_spacing)[0]
    return centre
