"""How density falls off around the examples, and how much of that any place has: what is left where nothing else tells.

A place is scored by the product of its density profile with that of the mean example, less the example's mean over a
ball around it: a matched filter that has seen the examples alone, and knows size and density, not shape.

Letters: k examples, n places, s shells, which `embed.shells` averages over as tomograms are embedded.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tomoseek.geometry import angstrom_to_cells

NUM_SHELLS = 10
THICKNESS = 2.5  # voxels from one shell to the next
STEP = 0.05  # robust standard deviations of a tomogram, per unit of a stored byte
REACH = 4 / 3  # particle radii that are looked at around a place

Shells = NDArray[np.float32]


@dataclass(frozen=True)
class DensityProfile:
    """Weights ``(s,)`` of shells; scale and offset make the score 0 for the mean place and 1 for the mean example."""

    weights: Shells
    scale: float
    offset: float

    def score(self, shells: Shells) -> Shells:
        """Score ``(n, s)`` places."""
        return self.scale * (shells @ self.weights) + self.offset


def fit_profile(examples: Shells, anywhere: Shells, radius_angstrom: float, voxel_spacing: float) -> DensityProfile:
    """Fit a profile to ``(k, s)`` examples.

    Parameters
    ----------
    anywhere
        ``(n, s)`` places that the project holds.
    radius_angstrom, voxel_spacing
        Of the particle and the embedded tomograms, Å.
    """
    volumes = shell_volumes(radius_angstrom, voxel_spacing)
    mean = examples.mean(0)
    weights = (volumes * (mean - volumes @ mean / volumes.sum())).astype(np.float32)
    low, high = float(anywhere.mean(0) @ weights), float(mean @ weights)
    scale = 1.0 / (high - low) if high - low > 1e-6 else 1.0
    return DensityProfile(weights, scale, -scale * low)


def shell_volumes(radius_angstrom: float, voxel_spacing: float) -> NDArray[np.float64]:
    """Return the volumes ``(s,)`` of the shells within `REACH` of a particle, over a common factor; 0 of others."""
    volumes: NDArray[np.float64] = np.arange(NUM_SHELLS, dtype=np.float64) ** 2 + 1 / 6  # of hats of one width
    reach = max(THICKNESS, angstrom_to_cells(REACH * radius_angstrom, voxel_spacing))
    volumes[THICKNESS * np.arange(NUM_SHELLS) > reach] = 0
    return volumes


def leave_one_out_profile(examples: Shells, anywhere: Shells, radius_angstrom: float, voxel_spacing: float) -> Shells:
    """Score each of ``(k, s)`` examples by the profile of the others; empty for fewer than two."""
    if len(examples) < 2:
        return np.zeros(0, dtype=np.float32)
    profiles = [
        fit_profile(np.delete(examples, i, axis=0), anywhere, radius_angstrom, voxel_spacing)
        for i in range(len(examples))
    ]
    return np.array([profile.score(examples[i]) for i, profile in enumerate(profiles)], dtype=np.float32)
