"""Read particle star files: of RELION 5, 4 and 3, and of Warp."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tomoseek.errors import InputError
from tomoseek.messages import listed, warn
from tomoseek.picks.points import Picks
from tomoseek.picks.star_write import (
    CENTRED,
    DETECTOR,
    GROUP,
    MAGNIFICATION,
    MICROGRAPH,
    OWN_PIXEL_SIZE,
    PIXEL_SIZE,
    PIXELS,
    RUN,
    SCORE,
    UNIT_MAGNIFICATION,
    centre_of,
)

if TYPE_CHECKING:  # slow to import, and seldom needed
    import pandas as pd

SHIFTS = [f"rlnOrigin{axis}Angst" for axis in "XYZ"]
PIXEL_SHIFTS = [f"rlnOrigin{axis}" for axis in "XYZ"]
FRAME = [f"rlnTomoSubtomogram{angle}" for angle in ("Rot", "Tilt", "Psi")]
IMAGE_PIXEL_SIZE = "rlnImagePixelSize"
# What programs hang on the name of a tilt series, the last first: Warp writes TS_1.tomostar and TS_1_10.00Apx.mrc.
_ENDINGS = re.compile(r"(\.(tomostar|mrcs?|rec|st|ali|map|hdf|tiff?|zarr|eer)|_\d+(\.\d+)?Apx)$", re.IGNORECASE)


def read_star(
    path: str | Path, tomograms: Mapping[str, Any], run: str | None = None, pixel_size: float | None = None
) -> dict[str, Picks]:
    """Read the particle centres of a star file, the inverse of `write_star`.

    RELION 5: Å from the centre of the tomogram where ``rlnCenteredCoordinate{X,Y,Z}Angst`` are there. RELION 4:
    ``rlnCoordinate{X,Y,Z}`` count pixels of the tilt series, however the tomogram or the extracted particle was
    binned, so that their size is ``rlnTomoTiltSeriesPixelSize`` of the optics table and not ``rlnImagePixelSize``.
    RELION 3 and Warp, which name tomograms by ``rlnMicrographName``: ``rlnCoordinate{X,Y,Z}`` count pixels, 0 at the
    centre of the first, of the size that ``rlnPixelSize``, ``rlnDetectorPixelSize`` (with
    ``rlnMagnification``, 10000 where it is absent) or ``rlnImagePixelSize`` of the optics table gives; without these
    voxels of the tomogram or, where all lie between 0 and 1, shares of its sides, as Warp's template matching writes
    them. What refinement shifted (``rlnOrigin{X,Y,Z}Angst``, in RELION 3 ``rlnOrigin{X,Y,Z}`` in pixels) is taken off.

    Parameters
    ----------
    path
        The file.
    tomograms
        By run: objects with ``shape`` (z y x) and ``voxel_spacing`` (Å). A run is ``rlnTomoName``, or
        ``rlnMicrographName`` without folder and endings such as ``.tomostar``, ``.mrc`` and ``_10.00Apx``.
    run
        Read the particles of this one only.
    pixel_size
        Å that ``rlnCoordinate{X,Y,Z}`` count in, whatever the file says.

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
    RELION 5, ``ParticleSet::getPosition`` in ``src/jaz/tomography/particle_set.cpp``. RELION 3, "Conventions": pixel
    size in Å is 10000 times ``rlnDetectorPixelSize`` over ``rlnMagnification``. Warp,
    ``docs/reference/warptools/tomogram_particle_files.md``.
    """
    particles, optics, name_column = _tables(Path(path))
    columns = list(map(str, particles))
    # starfile takes one quote for the other, and "nan" for a number that is missing.
    names_as_read = {name.replace("'", '"'): name for name in tomograms}
    missing = next((name for name in ("nan", "NaN", "<NA>") if name in tomograms), "nan")
    found = particles[name_column].fillna(missing).map(lambda name: str(name).replace("'", '"'))
    meant = {name: names_as_read.get(run_of(name, names_as_read) or "", name) for name in dict.fromkeys(found)}
    particles[RUN] = found.map(meant)
    if run is not None:
        particles = particles[particles[RUN] == run]
    if particles.empty:
        where = f" of tomogram {run}" if run else ""
        raise InputError(f"expected at least one particle{where} in {path}, found none: check the file")
    names = particles[RUN].to_numpy()  # (n,)
    unknown = sorted(set(names) - set(tomograms))
    if unknown:
        raise InputError(
            f"expected {name_column} in {path} among the runs {listed(sorted(tomograms), 8)}, found "
            f"'{unknown[0]}': name tomograms as the project does"
        )
    by_micrograph = name_column == MICROGRAPH
    if set(CENTRED) <= set(particles):
        centres = {name: centre_of(tomograms[name]) for name in set(names)}
        points = _numbers(particles, CENTRED, path) + np.stack([centres[name] for name in names])  # (n, 3) x y z
    elif set(PIXELS) <= set(particles):
        if pixel_size is not None:
            sizes = np.full((len(particles), 1), pixel_size)
        elif by_micrograph and PIXEL_SIZE not in optics:
            sizes = _relion_3_sizes(particles, optics, path, [tomograms[name] for name in names])
        else:
            sizes = _pixel_sizes(particles, optics, path, PIXEL_SIZE)
        pixels = _numbers(particles, PIXELS, path)
        if by_micrograph and set(PIXEL_SHIFTS) <= set(particles):
            pixels = pixels - _numbers(particles, PIXEL_SHIFTS, path)
        points = pixels * sizes  # (n, 3) x y z
    else:
        raise InputError(
            f"expected columns {', '.join(CENTRED)} (RELION 5) or {', '.join(PIXELS)} (RELION 3, 4, Warp) in {path}, "
            f"found {', '.join(columns)}: export the particles with their coordinates"
        )
    if set(SHIFTS) <= set(particles):
        points = points - _shifts(particles, path)
    scores = _numbers(particles, [SCORE], path)[:, 0] if SCORE in particles else np.ones(len(particles))
    return {name: Picks(points[names == name], scores[names == name]) for name in dict.fromkeys(names)}


def run_of(name: str, runs: Iterable[str]) -> str | None:
    """Return the run that a program means by the name or the file of a tomogram; None when it is none, or several.

    It may have a folder before it and what `without_endings` takes off behind it, and so may the run.
    """
    runs = list(runs)
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    for known in (name, base):
        if known in runs:
            return known
    for tail in _tails(base):
        alike = [run for run in runs if run == tail] or [run for run in runs if tail in _tails(run)]
        if alike:
            return alike[0] if len(alike) == 1 else None
    return None


def without_endings(name: str) -> str:
    """A file's name without what programs hang on that of a tilt series: ``.tomostar``, ``.mrc``, ``_10.00Apx``."""
    return _tails(name)[-1]


def _tails(name: str) -> list[str]:
    """The name, and what is left of it as one ending after the other goes."""
    tails = [name]
    while shorter := _ENDINGS.sub("", tails[-1]):
        if shorter == tails[-1]:
            break
        tails.append(shorter)
    return tails


def _tables(path: Path) -> "tuple[pd.DataFrame, pd.DataFrame, str]":
    """Return the particles and the optics groups (perhaps none) of a star file, and the column of tomograms' names."""
    import pandas as pd
    import starfile

    if not path.is_file():
        raise FileNotFoundError(f"expected a star file at {path}, found no such file: check the path")
    try:
        blocks = starfile.read(path, always_dict=True, parse_as_string=[RUN, MICROGRAPH])
    except (ValueError, TypeError, LookupError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"expected a star file of particles in {path}, found {reason}: export it again") from error
    # A block of one row need not be a loop.
    tables = {name: pd.DataFrame([block]) if isinstance(block, dict) else block for name, block in blocks.items()}
    optics = tables.pop("optics", pd.DataFrame())
    for column in (RUN, MICROGRAPH):
        if (particles := next((table for table in tables.values() if column in table), None)) is not None:
            return particles, optics, column
    raise InputError(
        f"expected a star file with a table of particles and their tomograms ({RUN} or {MICROGRAPH}) in {path}, found "
        f"{', '.join(f'data_{name}' for name in tables) or 'no table'}: give RELION's particles.star"
    )


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


def _relion_3_sizes(
    particles: "pd.DataFrame", optics: "pd.DataFrame", path: str | Path, tomograms: list[Any]
) -> NDArray[np.float64]:
    """Å per pixel of the coordinates of each particle ``(n, 1)``, or ``(n, 3)`` where these are shares of the sides."""
    if OWN_PIXEL_SIZE in particles:
        return _numbers(particles, [OWN_PIXEL_SIZE], path)
    if DETECTOR in particles:
        scale = UNIT_MAGNIFICATION / _numbers(particles, [MAGNIFICATION], path) if MAGNIFICATION in particles else 1.0
        return _numbers(particles, [DETECTOR], path) * scale
    if IMAGE_PIXEL_SIZE in optics:
        return _pixel_sizes(particles, optics, path, IMAGE_PIXEL_SIZE)
    pixels = _numbers(particles, PIXELS, path)
    if len(pixels) > 1 and pixels.min() >= 0 and pixels.max() <= 1:
        warn(
            f"coordinates of {path} lie between 0 and 1 and are taken as shares of the tomogram's sides, as Warp's are"
        )
        return np.stack([2 * centre_of(tomogram) for tomogram in tomograms])
    return np.array([[float(tomogram.voxel_spacing)] for tomogram in tomograms])


def _pixel_sizes(
    particles: "pd.DataFrame", optics: "pd.DataFrame", path: str | Path, column: str
) -> NDArray[np.float64]:
    """Å per pixel ``(n, 1)`` of each particle, by its optics group."""
    if column not in optics:
        raise InputError(
            f"expected {column} in the optics table of {path}, as {PIXELS[0]} counts pixels of the unbinned tilt "
            f"series, found {', '.join(map(str, optics)) or 'no such table'}: add it, or write {CENTRED[0]} and so on"
        )
    if len(optics) == 1:
        return np.full((len(particles), 1), _numbers(optics, [column], path)[0, 0])
    if GROUP not in particles or GROUP not in optics:
        raise InputError(
            f"expected {GROUP} of particles and optics in {path}, which has {len(optics)} optics groups, found none: "
            "add it to both tables"
        )
    sizes = particles[GROUP].map(dict(zip(optics[GROUP], optics[column], strict=True)))
    return _numbers(sizes.to_frame(column), [column], path)


def _shifts(particles: "pd.DataFrame", path: str | Path) -> NDArray[np.float64]:
    """Shifts ``(n, 3)`` in Å of the tomogram, out of the frame of each particle's subtomogram."""
    shifts = _numbers(particles, SHIFTS, path)
    if not set(FRAME) <= set(particles):
        return shifts
    frames = Rotation.from_euler("ZYZ", _numbers(particles, FRAME, path), degrees=True)
    return np.asarray(frames.apply(shifts, inverse=True))
