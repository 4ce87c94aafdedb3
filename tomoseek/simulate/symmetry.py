"""Rotations: molecular point groups, and uniformly random orientations.

Matrices act on column vectors in x y z.
"""

import math

import torch
from torch import Tensor

GOLDEN = (1 + math.sqrt(5)) / 2
FIVEFOLD = (0.0, 1.0, GOLDEN)
THREEFOLD = (1.0, 1.0, 1.0)
TWOFOLD = (0.0, 0.0, 1.0)


def rotation_about(axis_xyz: tuple[float, float, float], angle_radian: float) -> Tensor:
    """Return the ``(3, 3)`` matrix that turns by the right-hand rule about an axis (Rodrigues)."""
    x, y, z = (torch.tensor(axis_xyz, dtype=torch.float64) / math.hypot(*axis_xyz)).tolist()
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    eye = torch.eye(3, dtype=torch.float64)
    return eye + math.sin(angle_radian) * cross + (1 - math.cos(angle_radian)) * cross @ cross


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
        ``(n, 3, 3)`` float32, the identity first.
    """
    two, three = rotation_about(TWOFOLD, math.pi), rotation_about(THREEFOLD, 2 * math.pi / 3)
    if name == "T":
        generators = [two, three]
    elif name == "O":
        generators = [rotation_about(TWOFOLD, math.pi / 2), three]
    elif name == "I":
        generators = [two, three, rotation_about(FIVEFOLD, 2 * math.pi / 5)]
    elif name[:1] in ("C", "D") and name[1:].isdigit() and int(name[1:]) > 0:
        generators = [rotation_about(TWOFOLD, 2 * math.pi / int(name[1:]))]
        if name[0] == "D":
            generators.append(rotation_about((1.0, 0.0, 0.0), math.pi))
    else:
        raise ValueError(f"expected a point group such as C1, C7, D2, T, O or I, found '{name}'")
    group = torch.eye(3, dtype=torch.float64)[None]
    while True:
        products = torch.cat([group, *[generator @ group for generator in generators]])
        distance = (products[:, None] - products[None]).abs().amax((-1, -2))
        is_first = (distance < 1e-6).int().argmax(1) == torch.arange(len(products))
        if int(is_first.sum()) == len(group):
            return group.float()
        group = products[is_first]


def random_rotations(count: int, generator: torch.Generator) -> Tensor:
    """Draw ``(count, 3, 3)`` rotations uniformly over all orientations (random unit quaternions)."""
    quaternion = torch.randn(count, 4, generator=generator)
    w, x, y, z = torch.nn.functional.normalize(quaternion, dim=1).unbind(1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], 1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], 1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], 1),
    ]
    return torch.stack(rows, 1)  # (count, 3, 3)
