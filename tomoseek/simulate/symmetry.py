"""Rotations: molecular point groups, and uniformly random orientations.

Matrices act on column vectors in x y z.
"""

import math
import re

import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

GOLDEN = (1 + math.sqrt(5)) / 2


def point_group(name: str) -> Tensor:
    """Return all rotations of a point group.

    Parameters
    ----------
    name
        Schoenflies symbol: ``C1``, ``C7``, ``D2``, ``T``, ``O``, ``I`` ... The main axis is z, the two-fold
        axes of D groups include x, and the cubic groups have two-fold axes along x, y and z.

    Returns
    -------
    Tensor
        ``(n, 3, 3)`` float32, the identity first, the others by their angle.

    Raises
    ------
    ValueError
        If there is no such group.
    """
    if not re.fullmatch(r"[TOI]|[CD][1-9][0-9]*", name):
        raise ValueError(f"expected a point group such as C1, C7, D2, T, O or I, found '{name}'")
    group = Rotation.create_group(name)
    order = group.magnitude().round(6).argsort(kind="stable")
    return torch.from_numpy(group[order].as_matrix()).float()


def random_rotations(count: int, generator: torch.Generator) -> Tensor:
    """Draw ``(count, 3, 3)`` rotations uniformly over all orientations (random unit quaternions)."""
    w, x, y, z = torch.randn(count, 4, generator=generator).unbind(1)
    quaternions_xyzw = torch.stack([x, y, z, w], 1)
    return torch.from_numpy(Rotation.from_quat(quaternions_xyzw.numpy()).as_matrix()).float()  # (count, 3, 3)
