"""The part of a tomogram that counts: a segmentation of it, or the slab of a lamella between ice and vacuum.

Letters: p patches of a tomogram seen along z, n points.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tomoseek.geometry import angstrom_to_cells, points_to_indices
from tomoseek.tomograms.blank import Readable

Points = NDArray[np.float64]

PATCHES = 6  # along y and x, at most
BOX_ANGSTROM = 40.0  # in which noise averages out and cell content does not
BOXES = 8  # along the edge of a patch
SMOOTH_ANGSTROM = 60.0  # along z
LOWEST_PLATEAU = 0.55  # structure beyond the slab over that in it: above this nothing is cut away
FEWEST_PATCHES = 16  # in fewer, faces are not told from the ends of a few particles
LEAST_PATCHES = 0.6  # share of patches in which the slab's faces are seen
MARGIN_ANGSTROM = 100.0  # kept beyond each face, and twice as far as most patches are off it
MOST_OFF_ANGSTROM = 200.0  # of most patches: beyond it there is no face


class Part(Protocol):
    """Part of a tomogram."""

    def holds(self, points_xyz: Points) -> NDArray[np.bool_]:
        """Tell which of ``(n, 3)`` points x y z in Å lie in it."""

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Segmentation:
    """Voxels ``(z, y, x)`` that are not zero in a segmentation.

    Attributes
    ----------
    voxels
        ``(z, y, x)``.
    voxel_spacing
        Å.
    name
        What to call it.
    """

    voxels: NDArray[np.bool_]
    voxel_spacing: float
    name: str

    def holds(self, points_xyz: Points) -> NDArray[np.bool_]:
        """Tell which points lie in it."""
        nearest = np.rint(points_to_indices(points_xyz, self.voxel_spacing)).astype(np.int64)
        inside = np.asarray(((nearest >= 0) & (nearest < self.voxels.shape)).all(1))
        z, y, x = np.where(inside[:, None], nearest, 0).T
        found: NDArray[np.bool_] = inside & self.voxels[z, y, x]
        return found

    def __str__(self) -> str:
        return f"segmentation {self.name}"


@dataclass(frozen=True)
class Lamella:
    """What lies between two planes, each ``z = a + b y + c x`` in Å: ``lower`` and ``upper`` are ``(a, b, c)``."""

    lower: tuple[float, float, float]
    upper: tuple[float, float, float]

    def holds(self, points_xyz: Points) -> NDArray[np.bool_]:
        """Tell which points lie in it."""
        x, y, z = np.asarray(points_xyz, dtype=np.float64).reshape(-1, 3).T
        low, high = (a + b * y + c * x for a, b, c in (self.lower, self.upper))
        return np.asarray((z >= low) & (z <= high))

    def __str__(self) -> str:
        return f"slab of a lamella, z about {self.lower[0]:.0f} to {self.upper[0]:.0f} Å"


def find_lamella(volume: Readable, voxel_spacing: float) -> Lamella | None:
    """Find the slab that holds all structure; None where structure goes on to both ends of z, or nearly does.

    Above and below a lamella, and beyond the ice of purified particles, a reconstruction shows noise alone. Averaged in
    boxes of 40 Å noise vanishes and structure does not, so that the spread among boxes tells how much structure there
    is at each height. Where it falls below 0.55 of that in the slab, halfway down is a face; the faces of all patches
    make two planes, which may be tilted.

    Parameters
    ----------
    volume
        What is looked at, in up to 36 columns through all of z.
    voxel_spacing
        Å.
    """
    profiles, centres = _structure(volume, voxel_spacing)
    if len(profiles) < FEWEST_PATCHES:
        return None
    typical = np.median(profiles, axis=0)
    plateau, floor = np.percentile(typical, 85), np.percentile(typical, 2)
    if not 0 < floor < LOWEST_PLATEAU * plateau:
        return None
    level = (plateau + floor) / 2
    dense = profiles > level  # p z
    seen = dense.mean(1) > 0.05
    length = profiles.shape[1]
    far = length * voxel_spacing
    faces = []
    for edge, end, outwards in ((dense.argmax(1), 0.0, -1), (length - 1 - dense[:, ::-1].argmax(1), far, 1)):
        inner = seen & (edge > 0) & (edge < length - 1)
        if inner.sum() < LEAST_PATCHES * seen.sum():
            faces.append((end + outwards * far, 0.0, 0.0))  # the slab goes on beyond the volume
            continue
        (a, b, c), off = _plane(centres[inner], edge[inner] * voxel_spacing)
        if off > MOST_OFF_ANGSTROM:
            return None
        faces.append((a + outwards * (MARGIN_ANGSTROM + 2 * off), b, c))
    lower, upper = faces
    return None if (lower[0], upper[0]) == (-far, 2 * far) else Lamella(lower, upper)


def _structure(volume: Readable, voxel_spacing: float) -> tuple[NDArray[np.float64], Points]:
    """Return how much structure there is at each height of each patch ``(p, z)``, and the patches' centres y x, Å."""
    from scipy import ndimage  # slow to import

    box = max(1, round(angstrom_to_cells(BOX_ANGSTROM, voxel_spacing)))
    width = box * BOXES
    height, *sides = volume.shape
    if min(sides) < width or height < 8:
        return np.zeros((0, height)), np.zeros((0, 2))
    starts = [np.unique(np.linspace(0, n - width, min(PATCHES, n // width)).astype(int)) for n in sides]
    profiles, centres = [], []
    for y in starts[0]:
        for x in starts[1]:
            column = volume.read((slice(0, height), slice(y, y + width), slice(x, x + width)))
            column = np.where(np.isfinite(column), column, 0)
            column = np.clip(column, *np.percentile(column, [0.5, 99.5]))  # gold and hot voxels are no content
            boxes = column.reshape(height, BOXES, box, BOXES, box).mean((2, 4))
            profiles.append(boxes.std((1, 2)))
            centres.append((y + width / 2, x + width / 2))
    smooth = ndimage.gaussian_filter1d(
        np.array(profiles, dtype=np.float64), angstrom_to_cells(SMOOTH_ANGSTROM / 2, voxel_spacing), axis=1
    )
    return smooth, np.array(centres) * voxel_spacing


def _plane(centres_yx: Points, heights: Points) -> tuple[tuple[float, float, float], float]:
    """Fit ``z = a + b y + c x``, the farthest third of the patches left out; return how far off the others are, too."""
    system = np.column_stack([np.ones(len(heights)), centres_yx])
    kept = np.ones(len(heights), dtype=bool)
    for _ in range(4):
        several = [np.ptp(axis[kept]) > 0 for axis in system.T[1:]]
        use = [0, *[k + 1 for k, varies in enumerate(several) if varies]]
        fitted = np.zeros(3)
        fitted[use] = np.linalg.lstsq(system[kept][:, use], heights[kept], rcond=None)[0]
        residual = np.abs(heights - system @ fitted)
        kept = residual <= max(np.percentile(residual, 67), 1e-6)
    a, b, c = (float(value) for value in fitted)
    return (a, b, c), float(residual[kept].max())
