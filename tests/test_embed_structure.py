"""Search for a known structure, without any example."""

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from scipy.spatial import cKDTree

from embed import Index, query
from embed.conflicts import warn_of_lookalikes
from embed.examples import Examples
from embed.structure.examples import structure_examples
from embed.structure.rendering import Renderings, free_sites
from embed.structure.sources import find_structures, name_of
from embed.structure.strength import CHOSEN, TRIED, find_strength
from tomoseek import Tomogram
from tomoseek.command_line import compose_settings
from tomoseek.complexes import COMPLEXES
from tomoseek.errors import InputError
from tomoseek.picks.tables import read_points_csv
from tomoseek.simulate import BUILTIN, MicroscopeConfig, SceneConfig, builtin_density, simulate_tomogram

SPACING = 10.0
ONE_ATOM = (
    "ATOM      1  CA  ALA A   1      11.104  13.207   9.447  1.00  0.00           C  \n"
    "ATOM      2  CA  ALA A   2      14.104  13.207   9.447  1.00  0.00           C  \nEND\n"
)


def write_mrc(path: Path, values: np.ndarray, voxel_spacing: float) -> None:
    """Write a map or a tomogram."""
    with mrcfile.new(path, data=values.astype(np.float32)) as file:
        file.voxel_size = voxel_spacing


def noise(run: str = "noise") -> Tomogram:
    """A tomogram that holds nothing."""
    values = np.random.default_rng(0).normal(size=(48, 96, 96)).astype(np.float32)
    return Tomogram.from_array(values, voxel_spacing=SPACING, run=run)


def test_complexes_that_come_along_and_files_are_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.mrc"
    write_mrc(path, builtin_density("proteasome", SPACING).numpy(), SPACING)
    found = find_structures(["ribosome", str(path)], SPACING)
    assert list(found) == ["ribosome", "mine"]
    assert found["ribosome"].mass_kda == pytest.approx(4300, rel=0.1)
    assert found["ribosome"].radius_angstrom == COMPLEXES["ribosome"].radius_angstrom
    assert 60 <= found["mine"].radius_angstrom <= 90
    assert found["mine"].density(SPACING).shape[0] % 2 == 1
    assert set(find_structures("library", SPACING)) == set(BUILTIN)
    assert list(find_structures({"it": str(path)}, SPACING)) == ["it"]


def test_a_file_is_called_after_itself() -> None:
    assert [name_of(each) for each in ("a/1abc.cif.gz", "emd_1234.map", "X.PDB")] == ["1abc", "emd_1234", "X"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere.cif", "found no such file"),
        (["ribosome", "ribosome"], "different names"),
        ([], "found none"),
    ],
)
def test_what_cannot_be_searched_is_said(given: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        find_structures(given, SPACING)


def test_a_structure_too_small_to_be_seen_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.pdb"
    path.write_text(ONE_ATOM)
    with pytest.raises(InputError, match="at least 150 kDa"):
        find_structures(str(path), SPACING)


def test_a_map_without_voxel_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "map.mrc"
    write_mrc(path, builtin_density("ribosome", SPACING).numpy(), 0.0)
    with pytest.raises(InputError, match="voxel size"):
        find_structures(str(path), SPACING)


def test_the_strength_is_that_at_which_renderings_are_as_dense_as_what_they_look_like() -> None:
    random = np.random.default_rng(0)
    profile = np.float32([3, 2, 1, 0, 0, 0, 0, 0, 0, 0])
    towards = np.float32([1, 0, 0])
    strength = np.repeat(np.geomspace(*TRIED, 12), 8).astype(np.float32)
    vectors = towards + random.normal(0, 0.1, (len(strength), 3)).astype(np.float32)
    renderings = Renderings(vectors, np.ones_like(strength), strength[:, None] * profile, strength)
    others = np.tile(np.float32([0, 0, 1]), (30, 1))
    for there in (0.9, 2.0, 5.0):
        places = np.concatenate([np.tile(towards, (15, 1)), others])
        shells = np.concatenate([np.tile(there * profile, (15, 1)), np.zeros((30, 10))]).astype(np.float32)
        assert find_strength([(renderings, 75.0)], places, shells, SPACING) == pytest.approx(CHOSEN * there, rel=0.15)
    assert find_strength([(renderings, 75.0)], others, np.zeros((30, 10), np.float32), SPACING) is None


def test_places_for_renderings_keep_their_distance_and_avoid_particles(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", "random-tiny", device="cpu")
    index.add(noise(), progress=False)
    shard = index.shard("noise")
    sites = free_sites(shard, (0, 0, 0), (48, 96, 96), 80.0, SPACING, np.random.default_rng(0))
    assert len(sites) == 4
    assert (sites >= 0).all() and (sites < (48, 96, 96)).all()
    assert cKDTree(sites).query(sites, k=2)[0][:, 1].min() >= 28  # 40 voxels, less what both stray


def test_renderings_are_kept_beside_the_index_and_follow_the_seed(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", "random-tiny", tile=48, overlap=8, device="cpu")
    index.add(noise(), progress=False)
    structures = find_structures("proteasome", SPACING)
    first, strength = structure_examples(index, structures, ["noise"], lambda run: noise(run))
    again, same = structure_examples(index, structures, ["noise"], lambda run: pytest.fail("not to be rendered again"))
    np.testing.assert_array_equal(first["proteasome"].vectors, again["proteasome"].vectors)
    assert strength == same
    np.testing.assert_allclose(np.linalg.norm(first["proteasome"].vectors, axis=1), 1, atol=1e-5)
    kept = next((tmp_path / "index" / ".structures").glob("*.npz"))
    kept.write_bytes(b"damaged")
    mended, _ = structure_examples(index, structures, ["noise"], lambda run: noise(run))
    np.testing.assert_allclose(mended["proteasome"].vectors, first["proteasome"].vectors, atol=1e-4)


def test_objects_that_look_alike_are_named() -> None:
    def of(*direction: float) -> Examples:
        vectors = np.tile(np.array(direction, np.float32) / np.linalg.norm(direction), (4, 1))
        return Examples(vectors, np.ones(4, np.float32), np.zeros((4, 2), np.float32))

    with pytest.warns(UserWarning, match="a and b look alike") as said:
        alike = warn_of_lookalikes({"a": of(1, 0, 0), "b": of(1, 0.1, 0), "c": of(0, 0, 1)})
    assert len(said) == 1
    assert alike["a"]["b"] > 0.99 and alike["c"] == {"a": 0.0, "b": 0.0}


def test_a_structure_finds_its_particles_without_any_click(tmp_path: Path) -> None:
    names = ("proteasome", "apo-ferritin", "beta-galactosidase")
    densities = {name: builtin_density(name, SPACING) for name in names}
    scene = SceneConfig(shape=[64, 192, 192], voxel_spacing=SPACING, vesicles=[0, 0], gold_beads=[0, 0])
    simulated = simulate_tomogram(densities, dict.fromkeys(names, 9), scene, MicroscopeConfig(snr=[0.3, 0.3]), seed=3)
    path = tmp_path / "tomo.mrc"
    write_mrc(path, simulated.full.numpy(), SPACING)
    words = [f"tomogram={path}", f"index={tmp_path / 'index'}", f"out_dir={tmp_path}", "structure=proteasome"]
    query.run(compose_settings("embed_query", query.QueryConfig, words))
    finds = read_points_csv(tmp_path / "proteasome.csv")["tomo"].points_xyz
    truth = simulated.points["proteasome"]
    first = cKDTree(truth).query(finds[: len(truth)])[0] <= 50
    assert first.mean() >= 0.85
    record = json.loads((tmp_path / "proteasome.json").read_text())
    assert record["structure"] == "proteasome" and record["num_renderings"] >= 20
    assert (tmp_path / "proteasome.png").read_bytes()[:4] == b"\x89PNG"
