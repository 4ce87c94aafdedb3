"""``embed explore``: what is in these tomograms? Particle-like places, grouped by likeness, without any example."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from embed.index import Index
from embed.searched import runs_to_search
from embed.surroundings import Vectors, likely_cells, logit_map
from tomoseek import plots
from tomoseek.config import DataConfig
from tomoseek.errors import InputError
from tomoseek.failures import Failures
from tomoseek.files import atomic_write_bytes, atomic_write_json
from tomoseek.geometry import angstrom_to_cells, cell_to_voxel, clip_inside, indices_to_points
from tomoseek.picks.peaks import suppress
from tomoseek.picks.points import Picks
from tomoseek.picks.tables import write_csv
from tomoseek.tomograms.copick_tomograms import find_tomograms
from tomoseek.tomograms.project import open_project
from tomoseek.tomograms.slabs import window

MOST_ON_MAP = 2000


@dataclass(kw_only=True, slots=True)
class ExploreConfig:
    """Settings of ``embed explore`` (``configs/embed_explore.yaml``)."""

    data: DataConfig
    index: str
    min_members: int
    min_probability: float
    separation: float
    max_places: int
    num_examples: int
    num_pictures: int
    out_dir: str
    seed: int

    def __post_init__(self) -> None:
        for name, least in {"min_members": 2, "max_places": 1, "num_examples": 1, "num_pictures": 1}.items():
            if getattr(self, name) < least:
                raise InputError(f"{name}: expected at least {least}, found {getattr(self, name)}")
        if not 0 < self.min_probability < 1:
            raise InputError(f"min_probability: expected between 0 and 1, found {self.min_probability}")
        if not self.separation > 0:
            raise InputError(f"separation: expected a distance in Å, more than 0, found {self.separation}")


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


def run(config: ExploreConfig) -> None:
    """Find places, group them, and write tables and a picture."""
    index = Index.open(config.index)
    names = runs_to_search(open_project(config.data.project), index, config.data.runs)
    share = -(-config.max_places // len(names))
    found = [places_of(index, name, share, config) for name in names]
    places = Places(
        np.concatenate([part.run for part in found]),
        np.concatenate([part.points_xyz for part in found]),
        np.concatenate([part.vectors for part in found]),
    )
    clusters = group(places.vectors, config.min_members) if len(places.run) >= config.min_members else []
    if not clusters:
        raise InputError(
            f"index {config.index}: expected groups of at least min_members={config.min_members} particle-like places, "
            f"found none among {len(places.run)} places; lower min_members or min_probability, or take an encoder "
            "whose particle score was trained (encoder=shipped)"
        )
    out_dir = Path(config.out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    for stale in out_dir.glob("cluster-*.csv"):  # of an earlier run that had more clusters
        stale.unlink()
    write_csv(out_dir / "clusters.csv", [row for cluster in clusters for row in rows_of(cluster, places)])
    for cluster in clusters:
        typical = Cluster(cluster.name, cluster.members[: config.num_examples], cluster.likeness[: config.num_examples])
        write_csv(out_dir / f"{cluster.name}.csv", rows_of(typical, places))
    failures = Failures()
    if picture := draw(config, places, clusters, failures):
        atomic_write_bytes(out_dir / "explore.png", picture)
    sizes = {cluster.name: len(cluster.members) for cluster in clusters}
    record = {
        "index": str(index.folder),
        "fingerprint": index.header.fingerprint,
        "runs": names,
        "min_probability": config.min_probability,
        "separation_angstrom": config.separation,
        "seed": config.seed,
        "num_places": sizes,
    }
    atomic_write_json(out_dir / "explore.json", record)
    print(
        f"{len(places.run)} particle-like places in {len(names)} runs, {sum(sizes.values())} of them in "
        f"{len(clusters)} clusters of {min(sizes.values())} to {max(sizes.values())}; look at "
        f"{out_dir / 'explore.png'}, then for instance: python -m embed query "
        f"examples={out_dir / clusters[0].name}.csv name=... radius=..."
    )
    failures.finish(len(names))


def places_of(index: Index, run_name: str, most: int, config: ExploreConfig) -> Places:
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
        members = np.flatnonzero(label == number)
        centre = vectors[members].mean(0)
        likeness = vectors[members] @ (centre / max(float(np.linalg.norm(centre)), 1e-12))
        order = np.argsort(-likeness, kind="stable")
        clusters.append(Cluster(f"cluster-{rank:02d}", members[order], likeness[order].astype(np.float64)))
    return clusters


def rows_of(cluster: Cluster, places: Places) -> list[tuple[str, str, Picks]]:
    """Turn members into rows of a pick table, run by run."""
    rows = []
    for name in dict.fromkeys(places.run[cluster.members].tolist()):
        here = places.run[cluster.members] == name
        rows.append((name, cluster.name, Picks(places.points_xyz[cluster.members[here]], cluster.likeness[here])))
    return rows


def draw(config: ExploreConfig, places: Places, clusters: list[Cluster], failures: Failures) -> bytes | None:
    """Draw the map and the most typical members of every cluster; None where no tomogram can be read any more."""
    from sklearn.manifold import TSNE  # slow to import, and seldom needed

    label = np.full(len(places.run), -1)
    for number, cluster in enumerate(clusters):
        label[cluster.members] = number
    shown = np.sort(np.random.default_rng(config.seed).permutation(len(label))[:MOST_ON_MAP])
    perplexity = min(30.0, (len(shown) - 1) / 3)
    projection = TSNE(perplexity=perplexity, metric="cosine", init="random", random_state=config.seed)
    map_xy = projection.fit_transform(places.vectors[shown])
    runs = sorted(set(places.run.tolist()))
    tomograms = {each.run: each for each in find_tomograms(replace(config.data, runs=runs), failures)}
    pictures: list[list[NDArray[np.float32]]] = [[] for _ in clusters]
    for images, cluster in zip(pictures, clusters, strict=True):
        for k in cluster.members[: config.num_pictures]:
            name = str(places.run[k])
            if name not in failures.reasons:
                with failures.of(name):
                    images.append(window(tomograms[name], places.points_xyz[k], config.separation))
    if not any(pictures):
        return None
    return plots.to_png(plots.clusters_figure(map_xy, label[shown], pictures))
