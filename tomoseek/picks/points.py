"""Particle centres of one class in one run, with scores."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tomoseek.errors import InputError
from tomoseek.geometry import indices_to_points, points_to_indices

# One line of a pick table: run, object name, picks.
PickRow = tuple[str, str, "Picks"]


@dataclass(slots=True)
class Picks:
    """Particle centres of one class in one run.

    Parameters
    ----------
    points_xyz
        ``(n, 3)`` x y z in Å.
    scores
        ``(n,)`` the higher the surer; 1 when not given.
    """

    points_xyz: NDArray[np.float64]
    scores: NDArray[np.float64] = field(default_factory=lambda: np.ones(0))

    def __post_init__(self) -> None:
        self.points_xyz = np.asarray(self.points_xyz, dtype=np.float64).reshape(-1, 3)  # (n, 3) x y z
        self.scores = np.asarray(self.scores, dtype=np.float64).reshape(-1)  # (n,)
        if len(self.scores) == 0:
            self.scores = np.ones(len(self.points_xyz))
        if len(self.scores) != len(self.points_xyz):
            raise InputError(
                f"expected one score per point, found {len(self.points_xyz)} points and {len(self.scores)} "
                "scores: give as many of both"
            )
        if not (np.isfinite(self.points_xyz).all() and np.isfinite(self.scores).all()):
            raise InputError("expected finite coordinates and scores, found NaN or infinity: remove those picks")

    def __len__(self) -> int:
        return len(self.points_xyz)

    def __add__(self, other: "Picks") -> "Picks":
        """These picks and others of the class and run."""
        return Picks(np.concatenate([self.points_xyz, other.points_xyz]), np.concatenate([self.scores, other.scores]))


def check_inside(points_xyz: NDArray[np.float64], shape: tuple[int, ...], voxel_spacing: float, what: str) -> None:
    """Refuse points outside a volume: every accepted point rounds to one of its voxels.

    Parameters
    ----------
    points_xyz
        ``(n, 3)`` x y z in Å.
    shape
        Of the volume, z y x.
    voxel_spacing
        Å per voxel.
    what
        How to name the points in the error, for instance ``ribosome picks of run TS_1``.

    Raises
    ------
    InputError
        Naming the first point outside and how many there are.
    """
    indices = points_to_indices(points_xyz, voxel_spacing)  # (n, 3) z y x
    outside = ((indices < -0.5) | (indices >= np.array(shape) - 0.5) | ~np.isfinite(indices)).any(axis=1)
    if not outside.any():
        return
    first = int(np.flatnonzero(outside)[0])
    x, y, z = np.asarray(points_xyz, dtype=np.float64).reshape(-1, 3)[first]
    high = " ".join(f"{side:.0f}" for side in indices_to_points(shape, voxel_spacing)[0])
    raise InputError(
        f"expected {what} inside the volume, x y z from 0 to {high} Å, found {int(outside.sum())} of "
        f"{len(indices)} outside, the first at {x:.1f} {y:.1f} {z:.1f}: give x y z in Å (not voxels, not z "
        "y x), and check the voxel spacing"
    )
