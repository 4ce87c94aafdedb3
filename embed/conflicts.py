"""A site is one particle: of picks of different objects in one place, one stays.

Letters: n picks of all objects in one run, e embedding dimensions.
"""

from collections import Counter
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from embed.examples import Examples, read_examples
from embed.index import Index
from embed.prototype import TOO_ALIKE, mean_direction
from embed.search import Found
from tomoseek.messages import warn
from tomoseek.picks.conflicts import rival_pairs, winners

GivenUp = dict[str, Counter[str]]


def warn_of_lookalikes(examples: dict[str, Examples]) -> dict[str, dict[str, float]]:
    """Say which objects of a query the encoder hardly tells apart.

    Returns
    -------
    For each object the likeness to every other, in units of how alike its own examples are: 1 is no difference.
    """
    means = {name: mean_direction(each.vectors) for name, each in examples.items()}
    own = {name: float(np.median(each.vectors @ means[name])) for name, each in examples.items()}
    alike: dict[str, dict[str, float]] = {name: {} for name in examples}
    for one, other in combinations(examples, 2):
        between = float(means[one] @ means[other])
        alike[one][other], alike[other][one] = round(between / own[one], 3), round(between / own[other], 3)
        if between >= TOO_ALIKE * min(own[one], own[other]):
            warn(f"{one} and {other} look alike to the encoder ({between:.2f}): finds of one may be the other")
    return alike


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
    gone: dict[str, dict[str, NDArray[np.bool_]]] = {name: {} for name in names}
    given_up: GivenUp = {name: Counter() for name in names}
    picked = {name: each.by_run for name, each in found.items()}
    for run in picked[names[0]]:
        picks = [picked[name][run] for name in names]
        points = np.concatenate([each.points_xyz for each in picks])  # (n, 3) x y z
        owner = np.repeat(np.arange(len(names)), [len(each) for each in picks])  # (n,)
        pairs = rival_pairs(points, owner, sizes[owner])
        if not len(pairs):
            continue
        vectors = read_examples(index, points, run, reach_angstrom=0).vectors  # (n, e)
        winner = winners(pairs, np.linalg.norm(vectors - means[owner], axis=1))
        for number, name in enumerate(names):
            won_by = winner[owner == number]
            given_up[name].update(names[owner[other]] for other in won_by[won_by >= 0])
            gone[name][run] = won_by >= 0
    return {name: each.without(gone[name]) for name, each in found.items()}, given_up
