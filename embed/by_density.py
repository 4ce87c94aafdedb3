"""The search where the particle score misleads: places are ranked by density, and the encoder says what none can be.

Letters: k examples, n places, e embedding dimensions, s shells.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from embed.density_profile import DensityProfile, fit_profile, leave_one_out_profile
from embed.prototype import Prototype
from embed.shard import Shard
from embed.surroundings import shells_anywhere

if TYPE_CHECKING:
    from embed.examples import Examples
    from embed.index import Index

UNLIKE = 0.5  # below what an example scores by the others: such a place is none of them
RUNS = 8  # that are looked at for what a mean place is
STRETCH = 200_000  # rows read at once

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ByDensity:
    """What ranks places, and what rules them out.

    Attributes
    ----------
    profile
        Ranks.
    leave_one_out
        ``(k,)``: each example scored by the profile of the others; empty for a single one.
    prototype, least_likeness
        A place that scores less by the prototype, and so do those beside it, is none.
    """

    profile: DensityProfile
    leave_one_out: Floats
    prototype: Prototype
    least_likeness: float

    def score_map(self, shard: Shard, threshold: float) -> NDArray[np.float32]:
        """Return the scores ``(z, y, x)`` of all cells of a run, low where none is stored."""
        return density_map(self.profile, shard, threshold)

    def may_be(self, shard: Shard, cells_zyx: Floats) -> NDArray[np.bool_]:
        """Tell which of ``(n, 3)`` fractional cells the encoder does not rule out."""
        rows = shard.rows_around(cells_zyx)  # (n, 27)
        likeness = self.prototype.score(shard.read_vectors(np.maximum(rows, 0).ravel())).reshape(rows.shape)
        return np.asarray((likeness >= self.least_likeness).any(1, where=rows >= 0))


def density_map(profile: DensityProfile, shard: Shard, threshold: float) -> NDArray[np.float32]:
    """Return the scores ``(z, y, x)`` of all cells of a run by a profile, low where none is stored."""
    scores = np.full(shard.grid, min(0.0, threshold) - 1.0, dtype=np.float32)
    for first in range(0, len(shard), STRETCH):
        rows = np.arange(first, min(first + STRETCH, len(shard)))
        scores[tuple(shard.cells_zyx(rows).T)] = profile.score(shard.read_shells(rows))
    return scores


def by_density(
    index: "Index", examples: "Examples", prototype: Prototype, likeness_of_others: Floats, runs: list[str],
    radius_angstrom: float,
) -> ByDensity:  # fmt: skip
    """Prepare a search by density.

    Parameters
    ----------
    likeness_of_others
        ``(k,)``: each example scored by a prototype of the others; empty for a single one.
    runs
        Are searched.
    """
    anywhere = shells_anywhere([index.shard(run) for run in runs[:RUNS]])
    given = anywhere, radius_angstrom, index.entries[runs[0]].voxel_spacing
    ordinary = float(np.median(likeness_of_others)) if len(likeness_of_others) else 1.0
    return ByDensity(
        fit_profile(examples.shells, *given), leave_one_out_profile(examples.shells, *given), prototype,
        ordinary - UNLIKE,
    )  # fmt: skip
