"""``embed explore``: what is in these tomograms? Particle-like places, grouped by likeness, without any example."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embed.index import Index
from embed.places import Cluster, Places, PlacesConfig, group_numbers, group_places, lay_out, on_map, places_of_runs
from embed.searched import runs_to_search
from tomoseek import plots
from tomoseek.config import DataConfig
from tomoseek.errors import InputError
from tomoseek.failures import Failures
from tomoseek.files import atomic_write_bytes, atomic_write_json
from tomoseek.picks.points import Picks
from tomoseek.picks.tables import write_csv
from tomoseek.tomograms.copick_tomograms import find_tomograms
from tomoseek.tomograms.project import open_project
from tomoseek.tomograms.slabs import window


@dataclass(kw_only=True, slots=True)
class ExploreConfig(PlacesConfig):
    """Settings of ``embed explore`` (``configs/embed_explore.yaml``)."""

    data: DataConfig
    index: str
    num_examples: int
    num_pictures: int
    out_dir: str

    def __post_init__(self) -> None:
        PlacesConfig.__post_init__(self)  # super() knows no class with slots
        for name in ("num_examples", "num_pictures"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected at least 1, found {getattr(self, name)}")


def run(config: ExploreConfig) -> None:
    """Find places, group them, and write tables and a picture."""
    index = Index.open(config.index)
    names = runs_to_search(open_project(config.data.project), index, config.data.runs)
    places = places_of_runs(index, names, config)
    clusters = group_places(places, config.min_members, "lower min_members or min_probability")
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


def rows_of(cluster: Cluster, places: Places) -> list[tuple[str, str, Picks]]:
    """Turn members into rows of a pick table, run by run."""
    rows = []
    for name in dict.fromkeys(places.run[cluster.members].tolist()):
        here = places.run[cluster.members] == name
        rows.append((name, cluster.name, Picks(places.points_xyz[cluster.members[here]], cluster.likeness[here])))
    return rows


def draw(config: ExploreConfig, places: Places, clusters: list[Cluster], failures: Failures) -> bytes | None:
    """Draw the map and the most typical members of every cluster; None where no tomogram can be read any more."""
    shown = on_map(len(places.run), config.seed)
    map_xy = lay_out(places.vectors[shown], config.seed)
    label = group_numbers(clusters, len(places.run))
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
