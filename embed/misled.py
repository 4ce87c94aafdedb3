"""Whether the particle score misleads in what is searched: then the search does without it, and promises nothing.

Letters: n places.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from embed.by_density import density_map
from embed.density_profile import fit_profile
from embed.examples import Examples
from embed.shard import Shard
from embed.surroundings import shells_anywhere
from tomoseek.geometry import angstrom_to_cells
from tomoseek.messages import listed
from tomoseek.picks.peaks import find_peaks

if TYPE_CHECKING:
    from embed.index import Index

LEAST_DIFFERENCE = 1.0  # logits
MOST_ABOVE = 0.1  # share of all cells that may look more like particles than the examples
MOST_FAMILIAR = 0.015  # such a share of a run where promises were measured: 0.010 at most
RUNS = 4  # whose densest places are looked at
DENSEST = 20  # places of each
AS_DENSE = (0.7, 3.0)  # where 0 is a place anywhere and 1 a rendering; gold is denser
FEWEST = 8  # places that tell something
SMALLEST = 80.0  # Å of radius: whatever is smaller is no denser than clutter
MOST_UNLIKE = 0.75  # share of them that may look like no particle; membranes are as dense as some structures


def misled_by_particle_score(index: "Index", runs: Iterable[str], clicked: Examples) -> str | None:
    """Say that the particle score misleads where many places of the runs have more of it than the examples have.

    A score that tells particles has its examples among the highest places: particles take a small part of any volume.
    """
    shards = [index.shard(run) for run in runs if run in index.entries]
    if not shards or not tells_particles(shards[0]):
        return None
    ordinary, enough = float(np.median(clicked.particle_logit)), MOST_ABOVE * sum(map(len, shards))
    if sum(shard.num_around(ordinary) for shard in shards) <= enough:
        return None  # at most so many, and nothing was read for it
    share = sum(len(shard.rows_above(ordinary)) for shard in shards) / sum(map(len, shards))
    if share <= MOST_ABOVE:
        return None
    return (
        f"{share:.0%} of what is searched looks more like a particle to the encoder than the examples do: the particle "
        "score misleads here, and finds are ranked by how dense they are and what is around them"
    )


def unlike_measured(index: "Index", runs: Iterable[str], clicked: Examples) -> str | None:
    """Say in which runs more looks as much like a particle as the examples do than where promises were measured.

    So it is in crowded tomograms: what else is there scores like the examples, and no mixture of scores tells it.
    """
    full = []
    ordinary = float(np.median(clicked.particle_logit))
    for run in runs:
        shard = index.shard(run)
        most = MOST_FAMILIAR * len(shard)
        if shard.num_around(ordinary) <= most or not tells_particles(shard):
            continue
        if len(shard.rows_above(ordinary)) > most:
            full.append(run)
    if not full:
        return None
    return (
        f"{'run' if len(full) == 1 else 'runs'} {listed(full)}: more places look as much like a particle as the "
        "examples do than in any tomogram that the promise was measured on; they may be too crowded, or the examples "
        "little like particles"
    )


def misled_about_dense_places(
    index: "Index", runs: Sequence[str], rendered: Examples, radius_angstrom: float
) -> str | None:
    """Say that the particle score misleads where most places as dense as a rendered structure have little of it.

    Renderings are what the encoder learned from and look like particles to it, whatever it makes of the tomogram's
    own; so their particle score tells nothing, and that of what is as dense does.

    Parameters
    ----------
    rendered
        Of the structure.
    radius_angstrom
        Of the structure.
    """
    share = share_unlike_particles(index, runs, rendered, radius_angstrom) if radius_angstrom >= SMALLEST else 0.0
    if share <= MOST_UNLIKE:
        return None
    return (
        f"{share:.0%} of the places as dense as the structure look like no particle to the encoder: the particle score "
        "misleads here, and finds are ranked by how dense they are and what is around them"
    )


def share_unlike_particles(
    index: "Index", runs: Sequence[str], rendered: Examples, radius_angstrom: float
) -> float:  # fmt: skip
    """Return the share of the places as dense as a rendered structure that look like no particle; 0 of too few.

    Parameters are those of `misled_about_dense_places`.
    """
    looked_at = [run for run in runs if run in index.entries][:RUNS]
    shards = [index.shard(run) for run in looked_at]
    if not shards or not tells_particles(shards[0]):
        return 0.0
    spacing = index.entries[looked_at[0]].voxel_spacing
    profile = fit_profile(rendered.shells, shells_anywhere(shards), radius_angstrom, spacing)
    logits = []
    for run, shard in zip(looked_at, shards, strict=True):
        radius = angstrom_to_cells(radius_angstrom, index.entries[run].voxel_spacing, index.header.stride)
        dense = density_map(profile, shard, AS_DENSE[0])
        cells, scores = find_peaks(dense, radius_cells=radius, threshold=AS_DENSE[0], max_peaks=DENSEST)
        logits.append(_likeliest(shard, cells[scores <= AS_DENSE[1]]))
    seen = np.concatenate(logits)
    return float((seen < 0).mean()) if len(seen) >= FEWEST else 0.0


def _likeliest(shard: Shard, cells_zyx: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the highest particle logit ``(n,)`` at and around ``(n, 3)`` fractional cells."""
    rows = shard.rows_around(cells_zyx)  # n 27
    logits = shard.particle_logit(np.maximum(rows, 0).ravel()).reshape(rows.shape)
    return np.asarray(np.where(rows >= 0, logits, -np.inf).max(1, initial=-np.inf), dtype=np.float32)


def tells_particles(shard: Shard) -> bool:
    """Tell whether particle logits differ from place to place, which those of an untrained head do not."""
    first = np.arange(min(27, len(shard)))  # a most particle-like cell and those around it, in whatever order
    return float(np.ptp(shard.particle_logit(np.append(first, len(shard) - 1)))) > LEAST_DIFFERENCE
