"""A site is one particle: of picks of different objects in one place, one stays.

Letters: n picks of all objects in one run, e embedding dimensions.
"""

from collections import Counter
from dataclasses import replace

import numpy as np

from embed.index import Found, Index
from embed.promise import expected_at
from embed.search import Examples
from tomoseek.picks.conflicts import rival_pairs, winners
from tomoseek.picks.points import Picks

GivenUp = dict[str, Counter[str]]


def resolve_conflicts(
    index: Index, found: dict[str, Found], examples: dict[str, Examples], radii: dict[str, float]
) -> tuple[dict[str, Found], GivenUp]:
    """Of picks of different objects in one place, keep the one that is nearest to the mean of its own examples.

    One place is within half the sum of the radii: for two picks of one object that would be its radius, the distance
    that a search keeps already, and bodies that touch lie about twice as far apart. Nearest is by the vectors, which
    are the same measure for all objects. Scores are not, since each is stretched by its own examples, nor is the
    probability of being right, for which look-alikes both claim a place.

    Parameters
    ----------
    found, examples, radii
        By object; radii in Å.

    Returns
    -------
    What was found, without the picks given up and with what is then expected of the others; and for each object how
    many picks were given up to which other.
    """
    names = list(found)
    means = np.stack([examples[name].vectors.mean(0) for name in names])  # one for each object, e
    sizes = np.array([radii[name] for name in names])
    kept = {name: dict(each.picks) for name, each in found.items()}
    given_up: GivenUp = {name: Counter() for name in names}
    for run in found[names[0]].picks:
        picks = [found[name].picks[run] for name in names]
        points = np.concatenate([each.points_xyz for each in picks])  # (n, 3) x y z
        owner = np.repeat(np.arange(len(names)), [len(each) for each in picks])  # (n,)
        pairs = rival_pairs(points, owner, sizes[owner])
        if not len(pairs):
            continue
        unlike = np.linalg.norm(index.read_examples(points, run, reach_angstrom=0).vectors - means[owner], axis=1)
        winner = winners(pairs, unlike)
        for number, name in enumerate(names):
            won_by, mine = winner[owner == number], found[name].picks[run]
            given_up[name].update(names[owner[other]] for other in won_by[won_by >= 0])
            kept[name][run] = Picks(mine.points_xyz[won_by < 0], mine.scores[won_by < 0])
    return {name: _with_picks(each, kept[name]) for name, each in found.items()}, given_up


def _with_picks(found: Found, kept: dict[str, Picks]) -> Found:
    """Leave the picks that are not kept out of an answer, and out of what is expected of it."""
    before, after = (np.concatenate([each.scores for each in picks.values()]) for picks in (found.picks, kept))
    stays = ~np.isin(found.ranked[0], np.setdiff1d(before, after))
    ranked = found.ranked[0][stays], found.ranked[1][stays]
    return replace(found, picks=kept, ranked=ranked, cutoff=expected_at(found.cutoff.threshold, *ranked))
