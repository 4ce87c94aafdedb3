"""Particle-like places of tomograms, groups of those that look alike, and a map on which near is alike.

Letters: n places, e embedding dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from embed.index import Index
from embed.surroundings import Vectors, likely_cells, logit_map
from embed.threads import in_threads
from tomoseek.command_line import to_dataclass
from tomoseek.config import CONFIG_DIR
from tomoseek.errors import InputError
from tomoseek.geometry import angstrom_to_cells, cell_to_voxel, clip_inside, indices_to_points
from tomoseek.picks.peaks import suppress

MOST_ON_MAP = 2000
PERPLEXITY = 30.0  # neighbours of a place that the map keeps near


@dataclass(kw_only=True, slots=True)
class PlacesConfig:
    """What counts as a place, and as a group of them (part of ``configs/embed_explore.yaml``)."""

    min_members: int
    min_probability: float
    separation: float
    max_places: int
    seed: int

    def __post_init__(self) -> None:
        for name, least in {"min_members": 2, "max_places": 1}.items():
            if getattr(self, name) < least:
                raise InputError(f"{name}: expected at least {least}, found {getattr(self, name)}")
        if not 0 < self.min_probability < 1:
            raise InputError(f"min_probability: expected between 0 and 1, found {self.min_probability}")
        if not self.separation > 0:
            raise InputError(f"separation: expected a distance in Å, more than 0, found {self.separation}")

    @staticmethod
    def default() -> "PlacesConfig":
        """Return what ``embed explore`` takes where nothing else is said."""
        from omegaconf import DictConfig, OmegaConf

        stored = OmegaConf.load(CONFIG_DIR / "embed_explore.yaml")
        assert isinstance(stored, DictConfig)
        return to_dataclass(PlacesConfig, OmegaConf.masked_copy(stored, [each.name for each in fields(PlacesConfig)]))


@dataclass(frozen=True)
class Places:
    """Particle-like places ``(n, 3)`` x y z in Å of the runs ``(n,)``, and their vectors ``(n, e)``."""

    run: NDArray[np.str_]
    points_xyz: NDArray[np.float64]
    vectors: Vectors


@dataclass(frozen=True)
class Cluster:
    """Members, the most typical first, and how like the centre each is (cosine)."""

    name: str
    members: NDArray[np.int64]
    likeness: NDArray[np.float64]


def places_of_runs(index: Index, runs: Sequence[str], config: PlacesConfig) -> Places:
    """Return the likeliest particles of all runs together, of each run as many."""
    share = -(-config.max_places // len(runs))
    found = in_threads(lambda run: places_of(index, run, share, config), runs)
    return Places(
        np.concatenate([part.run for part in found]),
        np.concatenate([part.points_xyz for part in found]),
        np.concatenate([part.vectors for part in found]),
    )


def places_of(index: Index, run_name: str, most: int, config: PlacesConfig) -> Places:
    """Return the likeliest particles of a run, no two closer than ``separation``."""
    shard, entry, stride = index.shard(run_name), index.entries[run_name], index.header.stride
    logits = logit_map(shard)
    cells = likely_cells(logits)
    cells = cells[expit(logits[tuple(cells.T)]) >= config.min_probability]
    apart = angstrom_to_cells(config.separation, entry.voxel_spacing, stride)
    cells = cells[suppress(cells, logits[tuple(cells.T)], apart, max_kept=most)]
    points = indices_to_points(cell_to_voxel(cells, stride), entry.voxel_spacing)
    points = clip_inside(points, *index.frame(run_name)[1:])
    return Places(np.full(len(cells), run_name), points, shard.read_vectors(shard.rows(cells)))


def group_places(places: Places, min_members: int, remedy: str) -> list[Cluster]:
    """Group places by likeness, as `group`.

    Parameters
    ----------
    remedy
        What else than a better encoder helps where there is no group.

    Raises
    ------
    InputError
        If there are too few places, or no group among them.
    """
    clusters = group(places.vectors, min_members) if len(places.run) >= min_members else []
    if not clusters:
        raise InputError(
            f"expected groups of at least {min_members} particle-like places, found none among {len(places.run)} "
            f"places; {remedy}, or take an encoder whose particle score was trained (encoder=shipped)"
        )
    return clusters


def group(vectors: Vectors, min_members: int) -> list[Cluster]:
    """Find the dense groups among ``(n, e)`` unit vectors, the largest first; what is in none is left out.

    References
    ----------
    Campello et al., Density-based clustering based on hierarchical density estimates, 2013: the leaves of the tree.
    """
    from sklearn.cluster import HDBSCAN  # slow to import, and no other command needs it

    label = HDBSCAN(min_cluster_size=min_members, cluster_selection_method="leaf", copy=True).fit_predict(vectors)
    clusters = []
    for rank, number in enumerate(np.argsort(-np.bincount(label[label >= 0]), kind="stable"), start=1):
        members, likeness = most_typical(vectors, np.flatnonzero(label == number))
        clusters.append(Cluster(f"cluster-{rank:02d}", members, likeness))
    return clusters


def most_typical(vectors: Vectors, members: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Order some of ``(n, e)`` unit vectors by how like their mean each is (cosine), and return that too."""
    centre = vectors[members].mean(0)
    likeness = vectors[members] @ (centre / max(float(np.linalg.norm(centre)), 1e-12))
    order = np.argsort(-likeness, kind="stable")
    return members[order], likeness[order].astype(np.float64)


def group_numbers(clusters: Sequence[Cluster], num_places: int) -> NDArray[np.int64]:
    """Return the number of the group of every place ``(n,)``, from 0; -1 = in none."""
    label = np.full(num_places, -1)
    for number, cluster in enumerate(clusters):
        label[cluster.members] = number
    return label


def on_map(num_places: int, seed: int) -> NDArray[np.int64]:
    """Return which places a map shows, in order: all, or `MOST_ON_MAP` drawn at random."""
    return np.sort(np.random.default_rng(seed).permutation(num_places)[:MOST_ON_MAP])


def lay_out(vectors: Vectors, seed: int) -> NDArray[np.floating[Any]]:
    """Lay ``(n, e)`` vectors out in a plane, like ones near each other, and return their positions ``(n, 2)``."""
    from sklearn.manifold import TSNE  # slow to import, and seldom needed

    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    projection = TSNE(perplexity=perplexity, metric="cosine", init="random", random_state=seed)
    return np.asarray(projection.fit_transform(vectors))
