"""What the decoder learns: one Gaussian heatmap per class, and the loss against it.

Letters: b crops, c classes, z y x cells of the heatmap (``HEATMAP_STRIDE`` voxels wide).
"""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from einops import reduce
from torch import Tensor

from finetune.decoder import HEATMAP_STRIDE
from tomoseek.geometry import angstrom_to_cells, voxel_to_cell

FloatArray = npt.NDArray[np.float32]

REACH = 3.0


def target_sigmas(radii_angstrom: list[float], voxel_spacing: float, sigma_factor: float) -> list[float]:
    """Width of each class's Gaussian in cells: a fixed part of the radius, but never below one cell.

    Parameters
    ----------
    radii_angstrom
        Radius of each class, Å.
    voxel_spacing
        Å per voxel.
    sigma_factor
        Sigma over radius. A hit must lie within half the radius, so 0.3 leaves the edge of the hit zone at
        a quarter of the peak.
    """
    return [
        max(1.0, angstrom_to_cells(sigma_factor * radius, voxel_spacing, HEATMAP_STRIDE)) for radius in radii_angstrom
    ]


def draw_heatmaps(
    points_zyx: list[npt.NDArray[np.float64]], sigmas: list[float], size: tuple[int, int, int]
) -> FloatArray:
    """Draw each class's particles as Gaussians that peak at 1 at the particle's exact place.

    Parameters
    ----------
    points_zyx
        Per class ``(n, 3)``, voxel coordinates in the crop; points outside still lend it their tails.
    sigmas
        Per class, in cells.
    size
        Size of the crop in voxels, multiples of ``HEATMAP_STRIDE``.

    Returns
    -------
    FloatArray
        ``(c, z, y, x)``; where particles of one class overlap the larger value stands.
    """
    cells = tuple(n // HEATMAP_STRIDE for n in size)
    heatmaps = np.zeros((len(points_zyx), *cells), np.float32)  # (c, z, y, x)
    for heatmap, points, sigma in zip(heatmaps, points_zyx, sigmas, strict=True):
        for centre in voxel_to_cell(np.asarray(points, np.float64).reshape(-1, 3), HEATMAP_STRIDE):
            first = np.maximum(np.floor(centre - REACH * sigma), 0).astype(int)
            last = np.minimum(np.ceil(centre + REACH * sigma) + 1, cells).astype(int)
            if np.any(first >= last):
                continue
            along_z, along_y, along_x = (
                np.exp(-0.5 * ((np.arange(a, b) - c) / sigma) ** 2) for a, b, c in zip(first, last, centre, strict=True)
            )
            blob = along_z[:, None, None] * along_y[None, :, None] * along_x[None, None, :]  # (z, y, x)
            window = heatmap[first[0] : last[0], first[1] : last[1], first[2] : last[2]]
            np.maximum(window, blob, out=window)
    return heatmaps


def other_classes(target: Tensor) -> Tensor:
    """Return, for each class of ``(b, c, z, y, x)``, the largest target of the other classes."""
    if target.shape[1] == 1:
        return torch.zeros_like(target)
    first, second = target.topk(2, dim=1).values.unbind(1)  # (b, z, y, x)
    return torch.where(target == first[:, None], second[:, None], first[:, None])


def heatmap_loss(
    logits: Tensor, target: Tensor, known: Tensor, positive_weight: float, confusion_weight: float
) -> Tensor:
    """Weighted binary cross-entropy above its least value: 0 where the logits say exactly the target.

    A cell's weight grows with its target, so a certain network still converges to the Gaussian itself (the
    peak stays sharp) while an uncertain one leans towards recall, which F-beta with beta 4 rewards. Each
    class is divided by its own weights: small particles, of few cells, count as much as large ones.

    Parameters
    ----------
    logits, target
        ``(b, c, z, y, x)``.
    known
        Likewise; 0 where nothing is said about a class.
    positive_weight
        Weight of a cell with target 1.
    confusion_weight
        Weight, for every other class, of the centre of a particle. Particles fill a thousandth of the ice: at the
        weight of ice, taking one class for another would cost next to nothing.
    """
    weight = 1 + (positive_weight - 1) * target + (confusion_weight - 1) * other_classes(target)
    weight = weight * known  # (b, c, z, y, x)
    error = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    least = -torch.xlogy(target, target) - torch.xlogy(1 - target, 1 - target)
    error = (error - least) * weight  # (b, c, z, y, x)
    total = reduce(weight, "b c z y x -> c", "sum").clamp(min=1e-6)
    per_class = reduce(error, "b c z y x -> c", "sum") / total
    present = reduce(known, "b c z y x -> c", "max")  # (c)
    return (per_class * present).sum() / present.sum().clamp(min=1.0)
