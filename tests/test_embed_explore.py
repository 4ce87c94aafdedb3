"""``python -m embed explore``: kinds of particle are told apart without an example, and lead to a query."""

import json
from pathlib import Path

import numpy as np
import pytest

from embed import build, explore, query
from embed.places import group
from tomoseek.command_line import compose_settings
from tomoseek.errors import InputError
from tomoseek.picks.copick_picks import read_picks
from tomoseek.picks.tables import read_points_csv
from tomoseek.simulate.command import SimulateConfig
from tomoseek.simulate.command import run as simulate
from tomoseek.tomograms.project import open_project

KINDS = ("apo-ferritin", "ribosome", "virus-like-particle")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bright tomograms of three very different complexes, and an index by the shipped encoder."""
    folder = tmp_path_factory.mktemp("explore")
    words = [f"out_dir={folder / 'project'}", "num_runs=2", "size=[64,160,160]", "counts=6", "seed=3"]
    words += [f"complexes=[{','.join(KINDS)}]", "microscope.snr=[0.3,0.3]", "device=cpu"]
    simulate(compose_settings("simulate", SimulateConfig, words))
    words = [f"data.project={folder / 'project'}", f"index={folder / 'index'}", "device=cpu"]
    build.run(compose_settings("embed_build", build.BuildConfig, words))
    return folder


def explored(folder: Path, *words: str) -> Path:
    out = folder / "out"
    settings = [f"data.project={folder / 'project'}", f"index={folder / 'index'}", f"out_dir={out}", *words]
    explore.run(compose_settings("embed_explore", explore.ExploreConfig, settings))
    return out


def test_clusters_are_kinds_of_particle_and_their_tables_start_a_query(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "cluster-99.csv").write_text("left by an earlier run\n")
    out = explored(folder, "min_members=4", "num_examples=4")
    root = open_project(folder / "project")
    sizes = json.loads((out / "explore.json").read_text())["num_places"]
    names = sorted(sizes)
    assert names[0] == "cluster-01" and list(sizes.values()) == sorted(sizes.values(), reverse=True)
    assert sorted(path.stem for path in out.glob("cluster-*.csv")) == names
    assert (out / "explore.png").read_bytes().startswith(b"\x89PNG")
    pure = {}
    for name in names:
        typical = read_points_csv(out / f"{name}.csv")
        assert 1 <= sum(len(picks) for picks in typical.values()) <= 4
        kinds = []
        for run, picks in read_points_csv(out / "clusters.csv", name).items():
            truth = [(kind, xyz) for kind in KINDS for xyz in read_picks(root, run, kind, "simulator").points_xyz]
            for point in picks.points_xyz:
                distance = [np.linalg.norm(point - xyz) for _, xyz in truth]
                if min(distance) < 40:
                    kinds.append(truth[int(np.argmin(distance))][0])
        if kinds:
            pure[name] = max(kinds.count(kind) for kind in KINDS), len(kinds)
    assert sum(total for _, total in pure.values()) > 0.7 * len(KINDS) * 6 * 2
    assert sum(most for most, _ in pure.values()) > 0.9 * sum(total for _, total in pure.values())

    words = [f"data.project={folder / 'project'}", f"index={folder / 'index'}", f"out_dir={out}", "radius=60"]
    words += [f"examples={out / 'cluster-01.csv'}", "name=mystery"]
    query.run(compose_settings("embed_query", query.QueryConfig, words))
    assert json.loads((out / "mystery.json").read_text())["expected_precision"] > 0.5


def test_clusters_larger_than_there_are_places_are_refused_with_the_remedy(folder: Path) -> None:
    with pytest.raises(InputError, match="lower min_members"):
        explored(folder, "min_members=5000")
    with pytest.raises(InputError, match="separation"):
        explored(folder, "separation=0")
    with pytest.raises(InputError, match="min_probability"):
        explored(folder, "min_probability=90")


def test_members_are_ordered_by_likeness_and_stray_places_are_in_no_cluster() -> None:
    random = np.random.default_rng(0)
    vectors = np.repeat(np.eye(4, 16), [40, 30, 20, 10], axis=0) + 0.05 * random.standard_normal((100, 16))
    vectors = np.concatenate([vectors, random.standard_normal((20, 16))])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    clusters = group(vectors, 8)
    members = np.concatenate([cluster.members for cluster in clusters])
    assert len(set(members)) == len(members) and (members < 100).mean() > 0.9
    kinds = [set(np.digitize(c.members[c.members < 100], [40, 70, 90])) for c in clusters]
    assert all(len(kind) == 1 for kind in kinds) and set.union(*kinds) == {0, 1, 2, 3}
    assert [len(cluster.members) for cluster in clusters] == sorted((len(c.members) for c in clusters), reverse=True)
    assert all((np.diff(cluster.likeness) <= 0).all() for cluster in clusters)
