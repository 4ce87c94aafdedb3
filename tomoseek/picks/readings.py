"""What points may mean instead: voxels, another order of axes, a flipped axis, pixels of the tilt series.

Numbers alone seldom tell; what lies at the places does.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from tomoseek.geometry import indices_to_points, points_to_indices

Points = NDArray[np.float64]
Score = Callable[[Points], NDArray[np.floating]]

BINNINGS = (2, 4, 6, 8)  # of tilt series, as is common
FINEST_PIXEL = 0.5  # Å, of a tilt series
SAME_ANGSTROM = 20.0  # readings no farther apart than this are one
TOLERANCE_VOXELS = 1.0  # outside the volume
NUM_AROUND, NEAR_ANGSTROM, FAR_ANGSTROM = 30, 100.0, 300.0  # places that a point is compared with
LIKE, SURE = 0.8, 0.9  # share of those that a particle-like place is above; in another reading
FEW, CLEAR = 0.5, 0.02  # share of points that have to be particle-like; chance of a better reading, over all tried
MOST_SCANNED = 10  # pixel sizes looked at closely


class Reading(NamedTuple):
    """Another meaning of given numbers.

    Attributes
    ----------
    name
        What they would be, in words.
    mend
        What to do, if that is so.
    points_xyz
        ``(n, 3)`` x y z in Å, in this meaning.
    """

    name: str
    mend: str
    points_xyz: Points


class Verdict(NamedTuple):
    """Whether points look like particles.

    Attributes
    ----------
    num_points, num_like
        How many there are, and how many of them lie at particle-like places.
    is_like
        Whether the points as given look like particles: at least half of them.
    better
        The reading at whose places particles do lie; None where there is none, or it is not needed.
    num_better
        How many points are at particle-like places in that reading.
    """

    num_points: int
    num_like: int
    is_like: bool
    better: Reading | None
    num_better: int

    def sentence(self, what: str) -> str | None:
        """Say what is wrong with points; None where nothing is.

        Parameters
        ----------
        what
            What to call them: ``examples of run TS_1``.
        """
        if self.is_like:
            return None
        text = f"no particle-like place at {self.num_points - self.num_like} of {self.num_points} {what}"
        if self.better is None:
            return f"{text}; expected x y z in Å from the corner of the tomogram: look at them in a slice"
        return f"{text}; read as {self.better.name} they would be at {self.num_better}: {self.better.mend}"


def other_readings(points_xyz: ArrayLike, shape_zyx: tuple[int, ...], voxel_spacing: float) -> list[Reading]:
    """Return what points may mean instead, so that all of them lie inside the volume and elsewhere than given.

    Parameters
    ----------
    points_xyz
        ``(n, 3)`` as given, taken for x y z in Å from the corner; may lie outside.
    shape_zyx
        Of the volume, in voxels.
    voxel_spacing
        Å per voxel.
    """
    points = np.asarray(points_xyz, dtype=np.float64).reshape(-1, 3)
    kept: list[Reading] = []
    for reading in (*_orders_and_units(points, shape_zyx, voxel_spacing), *_pixels(points, voxel_spacing, BINNINGS)):
        others = [points, *[each.points_xyz for each in kept]]
        is_new = all(_apart(reading.points_xyz, other) > SAME_ANGSTROM for other in others)
        if is_new and inside(reading.points_xyz, shape_zyx, voxel_spacing).all():
            kept.append(reading)
    return kept


def inside(points_xyz: Points, shape_zyx: tuple[int, ...], voxel_spacing: float) -> NDArray[np.bool_]:
    """Tell for each of ``(n, 3)`` points in Å whether it lies in the volume, or not a voxel outside."""
    indices = points_to_indices(points_xyz, voxel_spacing)
    low, high = -0.5 - TOLERANCE_VOXELS, np.array(shape_zyx) - 0.5 + TOLERANCE_VOXELS
    return np.asarray(((indices >= low) & (indices < high)).all(axis=1))


def judge_points(
    points_xyz: ArrayLike, score: Score, shape_zyx: tuple[int, ...], voxel_spacing: float, seed: int = 0
) -> Verdict:
    """Say whether points lie where particles are, and if not, whether they do in another reading.

    A place is particle-like when it scores higher than four in five of the places 100 to 300 Å away, so that neither
    crowded cytoplasm nor the ice above and below matters. Works from one point on; another reading takes three or so to
    be sure of.

    Parameters
    ----------
    points_xyz
        ``(n, 3)`` as given, taken for x y z in Å from the corner; at least one.
    score
        Of ``(m, 3)`` points in Å inside the volume, ``(m,)``: the higher, the more like a particle.
    shape_zyx, voxel_spacing
        Of the volume; voxels and Å.
    seed
        Of the places around.
    """
    points = np.asarray(points_xyz, dtype=np.float64).reshape(-1, 3)
    around = _directions(seed)

    def standing(places: Points) -> Points:
        """Share of the places around each point that score lower; 0 outside the volume."""
        neighbours = (places[:, None] + around).reshape(-1, 3)
        within, usable = (inside(each, shape_zyx, voxel_spacing) for each in (places, neighbours))
        own, others = np.full(len(places), -np.inf), np.full(len(neighbours), np.inf)
        if within.any() and usable.any():
            own[within], others[usable] = score(places[within]), score(neighbours[usable])
        lower = (others.reshape(len(places), -1) < own[:, None]).sum(1)
        return np.asarray(lower / np.maximum(usable.reshape(len(places), -1).sum(1), 1))

    given = standing(points)
    num_points, num_like, num_sure = len(points), int((given > LIKE).sum()), int((given > SURE).sum())
    is_like = num_like >= FEW * num_points
    readings = other_readings(points, shape_zyx, voxel_spacing)

    def clearest(some: list[Reading], tried: int) -> tuple[Reading, int] | None:
        """Return the reading with most points at particle-like places, if that is no chance."""
        counts = [int((standing(reading.points_xyz) > SURE).sum()) for reading in some]
        best = int(np.argmax(counts)) if counts else 0
        is_clear = counts and counts[best] >= num_sure + 2 and _is_clear(counts[best], num_points, tried)
        return (some[best], counts[best]) if is_clear else None

    found = clearest(readings, len(readings)) if num_sure < num_points else None
    if found is None and not is_like:
        pixels = list(_all_pixels(points, shape_zyx, voxel_spacing))
        found = clearest(_highest(pixels, score), len(readings) + len(pixels))
    return Verdict(num_points, num_like, is_like and found is None, *(found or (None, 0)))


def _directions(seed: int) -> Points:
    """Draw the offsets ``(k, 3)``, Å, of the places that a point is compared with, evenly in space."""
    generator = np.random.default_rng(seed)
    offsets = generator.normal(size=(NUM_AROUND, 3))
    length = generator.uniform(NEAR_ANGSTROM**3, FAR_ANGSTROM**3, (NUM_AROUND, 1)) ** (1 / 3)
    return np.asarray(offsets / np.linalg.norm(offsets, axis=1, keepdims=True) * length)


def _apart(points: Points, others: Points) -> float:
    """Return the largest distance between points and their partners, Å."""
    return float(np.linalg.norm(points - others, axis=1).max(initial=0.0))


def _highest(readings: list[Reading], score: Score) -> list[Reading]:
    """Return the few readings whose points score highest."""
    if not readings:
        return []
    values = score(np.concatenate([reading.points_xyz for reading in readings])).reshape(len(readings), -1)
    return [readings[k] for k in np.argsort(-np.median(values, axis=1), kind="stable")[:MOST_SCANNED]]


def _is_clear(num_like: int, num_points: int, tried: int) -> bool:
    """Tell whether so many points at particle-like places are more than the best of ``tried`` readings by chance."""
    chance = float(stats.binom.sf(num_like - 1, num_points, 1 - SURE)) * tried
    return num_like >= FEW * num_points and chance <= CLEAR


def _orders_and_units(points: Points, shape: tuple[int, ...], voxel_spacing: float) -> Iterator[Reading]:
    """Read points in other units, orders of axes, and from other origins."""
    in_angstrom = "give x y z in Å"
    far = indices_to_points([shape], voxel_spacing)  # x y z, Å
    turned = indices_to_points(points, 1.0)  # z y x as given, x y z now
    swapped = points[:, [0, 2, 1]]
    last = far - voxel_spacing
    flipped_z, flipped_y = points.copy(), points.copy()
    flipped_z[:, 2], flipped_y[:, 1] = last[0, 2] - points[:, 2], last[0, 1] - points[:, 1]
    scaled = f"multiply by the voxel spacing, {voxel_spacing:g} Å"
    yield Reading("voxels x y z", f"{in_angstrom}; {scaled}", points * voxel_spacing)
    yield Reading("z y x in Å", f"{in_angstrom}; turn the columns round", turned)
    yield Reading("voxels z y x", f"{in_angstrom}; turn the columns round and {scaled}", turned * voxel_spacing)
    yield Reading("x z y in Å", f"{in_angstrom}; exchange the last two columns", swapped)
    yield Reading("voxels x z y", f"{in_angstrom}; exchange the last two columns and {scaled}", swapped * voxel_spacing)
    yield Reading("nanometres x y z", f"{in_angstrom}; multiply by 10", points * 10)
    yield Reading("x y z in Å with z flipped", f"give z from the other end: {last[0, 2]:g} less z", flipped_z)
    yield Reading("x y z in Å with y flipped", f"give y from the other end: {last[0, 1]:g} less y", flipped_y)
    yield Reading(
        "x y z in Å from the centre of the tomogram",
        "give them from the corner; add half of its size",
        points + far / 2,
    )


def _pixels(points: Points, voxel_spacing: float, binnings: tuple[float, ...]) -> Iterator[Reading]:
    """Read points as pixels of a tilt series that was binned for the tomogram."""
    for binning in binnings:
        pixel = voxel_spacing / binning
        name = f"pixels of the unbinned tilt series, x y z at {pixel:.3g} Å"
        yield Reading(name, f"give x y z in Å; multiply by the pixel size, {pixel:.3g} Å", points * pixel)


def _all_pixels(points: Points, shape: tuple[int, ...], voxel_spacing: float) -> Iterator[Reading]:
    """Read points as pixels of every size with which they lie inside, so densely that no particle is stepped over."""
    largest = float(np.abs(points).max(initial=1.0))
    pixel = FINEST_PIXEL
    while pixel < voxel_spacing:
        reading = next(_pixels(points, voxel_spacing, (voxel_spacing / pixel,)))
        if not inside(reading.points_xyz, shape, voxel_spacing).all():
            return
        if _apart(reading.points_xyz, points) > SAME_ANGSTROM:
            yield reading
        pixel += SAME_ANGSTROM / largest
