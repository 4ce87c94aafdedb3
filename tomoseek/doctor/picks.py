"""Checks of the picks of one run: can they be read, and do they sit on something?"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tomoseek.doctor.density import Density
from tomoseek.doctor.findings import Finding, Level
from tomoseek.errors import InputError
from tomoseek.geometry import FloatArray, indices_to_points
from tomoseek.picks.copick_picks import list_picks, read_picks
from tomoseek.picks.points import check_inside
from tomoseek.picks.readings import inside, judge_points
from tomoseek.tomograms.tomogram import Tomogram

SAME_PLACE = 0.2  # of a radius: picks nearer than this are one particle
FEWEST = 3  # picks that a judgement is based on
SITS, SURE = 0.65, 3.0  # a share as in `Sitting`, and standard errors: real and simulated particles have 0.97 and more
MANY = 10  # picks of which some have to sit on something
CORNER = 0.3  # of the volume's sides: no class keeps to a corner of this size
UNKNOWN_RADIUS = 75.0  # Å, for objects without one


class PickFile(NamedTuple):
    """Picks of one object by one user in one session, in a run."""

    object_name: str
    user: str
    session: str
    points_xyz: FloatArray

    def __str__(self) -> str:
        return f"{self.object_name} picks by {self.user}, session {self.session}"


def read_files(root: Any, tomogram: Tomogram) -> Iterator[PickFile | Finding]:
    """Read the picks of a run, file by file, those outside the volume too; what cannot be read is a problem."""
    known, run = {item.name for item in root.pickable_objects}, root.get_run(tomogram.run)
    for object_name, user, session in list_picks(root, tomogram.run):
        if object_name not in known:
            yield Finding(
                Level.warning, "unknown object", f"picks by {user}, session {session}, are of '{object_name}', which "
                "the project does not name; nothing reads them: add it under pickable_objects, or correct the name",
                tomogram.run,
            )  # fmt: skip
            continue
        try:
            picks = read_picks(root, tomogram.run, object_name, user, session)
        except (InputError, FileNotFoundError) as error:
            yield Finding(Level.problem, "unreadable picks", str(error), tomogram.run)
            continue
        run.refresh_picks()  # once read, copick's entries go by the names in the file
        (entry,) = run.get_picks(object_name=object_name, user_id=user, session_id=session)
        if (named := entry.load().run_name) and named != run.name:
            yield Finding(
                Level.warning, "another run", f"{object_name} picks by {user}, session {session}, say that they are of "
                f"run {named}: were they copied from there?", tomogram.run,
            )  # fmt: skip
        yield PickFile(object_name, user, session, picks.points_xyz)


def check_places(picks: PickFile, tomogram: Tomogram, radius: float | None) -> Iterator[Finding]:
    """Report picks outside the volume, doubled picks, and classes that keep to a corner."""
    run, points, spacing = tomogram.run, picks.points_xyz, tomogram.voxel_spacing
    try:
        check_inside(points, tomogram.shape, spacing, f"{picks}, in {run}")
    except InputError as error:
        yield Finding(Level.problem, "picks outside", str(error), run)
    within = points[inside(points, tomogram.shape, spacing)]
    elsewhere = 0 if tomogram.part is None else int((~tomogram.part.holds(within)).sum())
    if elsewhere:
        yield Finding(
            Level.warning, "picks elsewhere", f"{picks}: {elsewhere} of {len(points)} lie outside the {tomogram.part}, "
            "and only in it is searched and trained", run, {"outside_part": elsewhere},
        )  # fmt: skip
    near = max(SAME_PLACE * (radius or 0.0), 0.5 * spacing)
    if pairs := len(cKDTree(points).query_pairs(near)) if len(points) > 1 else 0:
        yield Finding(
            Level.warning, "doubled picks", f"{picks}: {pairs} pairs lie within {near:.0f} Å of each other, too near "
            "to be two particles: remove the doubled ones", run, {"pairs": pairs, "within_angstrom": round(near, 1)},
        )  # fmt: skip


def check_sitting(picks: PickFile, tomogram: Tomogram, density: Density, radius: float | None) -> Iterator[Finding]:
    """Report picks that sit on nothing, and another reading of their numbers in which they sit on something."""
    run, points, num_picks = tomogram.run, picks.points_xyz, len(picks.points_xyz)
    if num_picks < FEWEST:
        return
    size = radius or UNKNOWN_RADIUS
    given = density.sitting(points, size)
    numbers = {"denser_than_random": given and round(given.share, 3)}
    if given is not None and given.num_inside == num_picks and given.share >= SITS and given.sure >= SURE:
        return

    def like_protein(places_xyz: FloatArray) -> NDArray[np.float64]:
        return density.at(places_xyz, size)

    def like_ice(places_xyz: FloatArray) -> NDArray[np.float64]:
        return -density.at(places_xyz, size)

    verdict, inverse = (
        judge_points(points, score, tomogram.shape, tomogram.voxel_spacing) for score in (like_protein, like_ice)
    )
    if verdict.better is not None:
        text = (
            f"{picks}: they sit on nothing as they are; read as {verdict.better.name}, {verdict.num_better} of "
            f"{num_picks} sit on something: {verdict.better.mend}"
        )
        yield Finding(Level.warning, "picks on nothing", text, run, {**numbers, "reading": verdict.better.name})
    elif inverse.is_like and not verdict.is_like:
        yield Finding(
            Level.warning, "picks on nothing", f"{picks}: they sit where the tomogram is least dense, if protein is "
            f"{tomogram.polarity.value}: is the polarity the other one (data.polarity)?", run, numbers,
        )  # fmt: skip
    elif not verdict.is_like and num_picks >= MANY and given is not None and given.share < SITS and given.sure < SURE:
        yield Finding(
            Level.warning, "picks on nothing", f"{picks}: they are hardly denser than places at random "
            f"({given.share:.2f}; 0.5 is chance, 1 is best), in no reading of their numbers: do they belong to this "
            "tomogram?", run, numbers,
        )  # fmt: skip
    elif is_cornered(points, tomogram):
        yield Finding(
            Level.warning, "corner", f"{picks}: all {num_picks} lie in one corner of the tomogram: are they in voxels, "
            "or in pixels of another binning?", run, numbers,
        )  # fmt: skip


def is_cornered(points_xyz: FloatArray, tomogram: Tomogram) -> bool:
    """Tell whether all points lie in one corner of the volume."""
    sides = indices_to_points(tomogram.shape, tomogram.voxel_spacing)[0]
    low, high = points_xyz.min(axis=0), points_xyz.max(axis=0)
    return bool(((high < CORNER * sides) | (low > (1 - CORNER) * sides)).all())
