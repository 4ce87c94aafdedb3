"""Examples are clicked by hand, a few voxels off: move each to the middle of the particle that it means.

Letters: k examples.
"""

import numpy as np
from numpy.typing import NDArray

from embed.shard import Shard

REACH_ANGSTROM = 50.0
LEAST_GAIN = 1.0  # logits of a particle head that was never trained differ by less


def recentre(cells_zyx: NDArray[np.float64], shard: Shard, reach_cells: float) -> NDArray[np.float64]:
    """Move ``(k, 3)`` fractional cells to where a particle is likeliest within a ball around them.

    The particle head learned to tell a centre from places beside it. A click stays where no particle is likely around
    it (even odds), or where that gains next to nothing.

    Parameters
    ----------
    reach_cells
        Radius of the ball; 0 moves nothing.
    """
    steps = np.arange(-1, 1.01, 0.2)
    ball = reach_cells * np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    ball = ball[np.linalg.norm(ball, axis=1) <= reach_cells * 1.001]
    moved = cells_zyx.copy()
    for number, cell in enumerate(cells_zyx):
        places = np.clip(cell + ball, 0, np.array(shard.grid) - 1)
        logits = np.nan_to_num(shard.interpolate_logit(places), nan=-np.inf)
        here = shard.interpolate_logit(cell[None])[0]
        best = int(np.argmax(logits))
        if logits[best] > max(0.0, here + LEAST_GAIN):
            moved[number] = places[best]
    return moved
