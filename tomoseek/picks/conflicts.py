"""A site is one particle: which picks of different objects lie in one place, and which of them stays.

Letters: n picks of all objects in one run, p pairs of them.
"""

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree


def rival_pairs(
    points_xyz: NDArray[np.float64], owner: NDArray[np.int64], radius: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the pairs of picks of different objects that lie within half the sum of their radii.

    For two picks of one object that would be its radius; bodies that touch lie about twice as far apart.

    Parameters
    ----------
    points_xyz
        ``(n, 3)`` x y z in Å.
    owner
        ``(n,)`` number of the object of each pick.
    radius
        ``(n,)`` radius of that object, Å.

    Returns
    -------
    ``(p, 2)`` indices of picks.
    """
    if not len(points_xyz):
        return np.zeros((0, 2), dtype=np.int64)
    pairs = cKDTree(points_xyz).query_pairs(radius.max(), output_type="ndarray")
    apart = np.linalg.norm(points_xyz[pairs[:, 0]] - points_xyz[pairs[:, 1]], axis=1)
    near = (owner[pairs[:, 0]] != owner[pairs[:, 1]]) & (apart < radius[pairs].mean(1))
    return np.asarray(pairs[near], dtype=np.int64)


def winners(pairs: NDArray[np.int64], cost: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Return for each of n picks the one that it is given up to, -1 where it stays.

    The pick of least cost goes first; a pick that was given up takes no other with it.

    Parameters
    ----------
    pairs
        ``(p, 2)``, as `rival_pairs` returns them.
    cost
        ``(n,)`` the lower, the better the claim to the place; in the same measure for all objects.
    """
    beside = defaultdict(list)
    for one, other in pairs:
        beside[one].append(other)
        beside[other].append(one)
    winner = np.full(len(cost), -1, dtype=np.int64)
    for pick in sorted(beside, key=lambda pick: cost[pick]):
        if winner[pick] < 0:
            others = np.array(beside[pick])
            winner[others[winner[others] < 0]] = pick
    return winner
