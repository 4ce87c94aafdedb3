"""Built-in, procedural and file densities: mass, size, symmetry, centring."""

import math
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import pytest
import torch

from tomoseek.complexes import COMPLEXES
from tomoseek.errors import InputError
from tomoseek.simulate import BUILTIN, builtin_density, load_density, random_assembly
from tomoseek.simulate.assemblies import GROUPS
from tomoseek.simulate.domains import mass_kda
from tomoseek.simulate.maps import find_map
from tomoseek.simulate.symmetry import point_group, random_rotations

ORDERS = {"C1": 1, "C7": 7, "D2": 4, "D7": 14, "T": 12, "O": 24, "I": 60}
SYMMETRY = {
    "apo-ferritin": "O",
    "beta-amylase": "D2",
    "beta-galactosidase": "D2",
    "thyroglobulin": "C2",
    "virus-like-particle": "I",
    "proteasome": "D7",
}
# Longest dimension in Å, from the entries named in builtin.py.
DIAMETER = {
    "apo-ferritin": 120,
    "beta-amylase": 120,
    "beta-galactosidase": 175,
    "ribosome": 290,
    "thyroglobulin": 250,
    "virus-like-particle": 290,
    "proteasome": 160,
}


def turned(density: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
    half = density.shape[0] // 2
    steps = torch.arange(-half, half + 1, dtype=torch.float32)
    z, y, x = torch.meshgrid(steps, steps, steps, indexing="ij")
    grid = torch.stack([x, y, z], -1) @ rotation / half
    return torch.nn.functional.grid_sample(density[None, None], grid[None], align_corners=True)[0, 0]


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a * b).sum() / (a.norm() * b.norm()))


def off_centre(density: torch.Tensor) -> float:
    half = density.shape[0] // 2
    steps = torch.arange(-half, half + 1, dtype=torch.float32)
    shape = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))
    return max(abs(float((density * steps.reshape(axis)).sum() / density.sum())) for axis in shape)


@pytest.mark.parametrize("name", ORDERS)
def test_a_point_group_is_closed_and_has_its_order(name: str) -> None:
    group = point_group(name)
    assert len(group) == ORDERS[name]
    assert torch.allclose(torch.linalg.det(group), torch.ones(len(group)), atol=1e-5)
    products = (group[:, None] @ group).flatten(0, 1)
    distance = (products[:, None] - group).abs().amax((-1, -2))
    assert float(distance.amin(1).max()) < 1e-4


def test_the_axes_of_point_groups_lie_where_they_are_said_to_lie() -> None:
    half_turn_x, half_turn_z = torch.diag(torch.tensor([1.0, -1, -1])), torch.diag(torch.tensor([-1.0, -1, 1]))
    for name in ("D7", "T", "O", "I"):
        group = point_group(name)
        assert torch.equal(group[0], torch.eye(3))
        expected = half_turn_x if name == "D7" else torch.stack([half_turn_x, half_turn_z])
        assert float((group[:, None] - expected).abs().amax((-1, -2)).amin(0).max()) < 1e-6
    cosine, sine = math.cos(2 * math.pi / 7), math.sin(2 * math.pi / 7)
    seventh = torch.tensor([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    assert float((point_group("C7") - seventh).abs().amax((-1, -2)).min()) < 1e-6
    for name in ("C0", "D", "X", "c7", "T2", ""):
        with pytest.raises(ValueError, match=f"expected a point group such as C1, C7, D2, T, O or I, found '{name}'"):
            point_group(name)


def test_an_orientation_is_that_of_the_quaternion_drawn() -> None:
    w, x, y, z = torch.randn(4, generator=torch.Generator().manual_seed(0)).tolist()
    assert [w, x, y, z] == pytest.approx([1.5410, -0.2934, -2.1788, 0.5684], abs=1e-4)
    square = w * w + x * x + y * y + z * z
    by_hand = [1 - 2 * (y * y + z * z) / square, 2 * (x * y - w * z) / square, 2 * (x * z + w * y) / square]
    (rotation,) = random_rotations(1, torch.Generator().manual_seed(0))
    assert rotation[0].tolist() == pytest.approx(by_hand, abs=1e-6)
    assert rotation[0].tolist() == pytest.approx([-0.3465, -0.0628, -0.9359], abs=1e-4)
    assert random_rotations(0, torch.Generator()).shape == (0, 3, 3)


def test_random_orientations_are_rotations_without_preference() -> None:
    rotations = random_rotations(4000, torch.Generator().manual_seed(0))
    assert torch.allclose(rotations @ rotations.mT, torch.eye(3).expand(4000, 3, 3), atol=1e-5)
    assert float(rotations.mean(0).abs().max()) < 0.04
    assert torch.allclose((rotations**2).mean(0), torch.full((3, 3), 1 / 3), atol=0.03)


@pytest.mark.parametrize("name", BUILTIN)
def test_a_built_in_complex_has_its_published_mass_and_size(name: str) -> None:
    density = builtin_density(name, 5.0)
    assert mass_kda(density, 5.0) == pytest.approx(COMPLEXES[name].mass_kda, rel=0.05)
    solid = (density > 0.3).nonzero().float()
    diameter = 5.0 * float(torch.cdist(solid[::3], solid[::3]).max())
    assert diameter == pytest.approx(DIAMETER[name], rel=0.15)
    assert off_centre(density) < 0.05


@pytest.mark.parametrize("name", BUILTIN)
def test_a_built_in_complex_weighs_the_same_on_a_coarse_grid(name: str) -> None:
    coarse = builtin_density(name, 13.0)
    assert coarse.shape[0] % 2 == 1
    assert mass_kda(coarse, 13.0) == pytest.approx(COMPLEXES[name].mass_kda, rel=0.05)


@pytest.mark.parametrize("name", SYMMETRY)
def test_a_built_in_complex_is_invariant_under_its_point_group(name: str) -> None:
    density = builtin_density(name, 5.0)
    for rotation in point_group(SYMMETRY[name])[1:12]:
        assert correlation(density, turned(density, rotation)) > 0.97


def test_hollow_complexes_are_hollow() -> None:
    for name, inner in (("apo-ferritin", 30), ("virus-like-particle", 100)):
        density = builtin_density(name, 5.0)
        half = density.shape[0] // 2
        steps = torch.arange(-half, half + 1) * 5.0
        away = (steps[:, None, None] ** 2 + steps[:, None] ** 2 + steps**2).sqrt()
        assert float(density[away < inner].abs().max()) < 0.05


def test_the_built_in_complexes_differ_from_each_other() -> None:
    def profile(name: str) -> torch.Tensor:
        density = builtin_density(name, 10.0)
        half = density.shape[0] // 2
        steps = torch.arange(-half, half + 1)
        away = (steps[:, None, None] ** 2 + steps[:, None] ** 2 + steps**2).sqrt()
        return torch.bincount(away.round().long().flatten(), density.flatten(), minlength=40)[:40]

    profiles = [profile(name) for name in BUILTIN]
    for index, first in enumerate(profiles):
        for second in profiles[:index]:
            assert float((first - second).norm() / torch.maximum(first.norm(), second.norm())) > 0.15


def test_an_unknown_complex_names_those_there_are() -> None:
    with pytest.raises(InputError, match="apo-ferritin"):
        builtin_density("nucleosome", 10.0)


def test_random_assemblies_keep_to_the_mass_asked_for_and_differ() -> None:
    masses = []
    for seed in range(30):
        density = random_assembly(seed, 10.0)
        assert off_centre(density) < 0.1
        assert density.shape[0] <= 45
        masses.append(mass_kda(density, 10.0))
    assert 140 < min(masses) < 400
    assert 1500 < max(masses) < 4200
    assert len({round(mass, 1) for mass in masses}) == 30
    assert torch.equal(random_assembly(7, 10.0), random_assembly(7, 10.0))


@pytest.mark.parametrize("name", [group for group in GROUPS if group != "C1"])
def test_a_random_assembly_is_invariant_under_its_point_group(name: str) -> None:
    density = random_assembly(3, 5.0, groups=(name,))
    for rotation in point_group(name)[1:6]:
        assert correlation(density, turned(density, rotation)) > 0.95


def test_a_map_is_centred_cleaned_resampled_and_scaled(tmp_path: Path) -> None:
    values = np.full((40, 44, 48), -3.0, dtype=np.float32)
    values[10:18, 12:20, 20:28] += 50
    values[33:35, 38:40, 5:7] += 40
    with mrcfile.new(tmp_path / "box.mrc") as file:
        file.set_data(values)
        file.voxel_size = 6.0
    density = load_density(tmp_path / "box.mrc", 8.0, mass=100.0)
    assert mass_kda(density, 8.0) == pytest.approx(100, rel=1e-3)
    assert off_centre(density) < 0.05
    solid = (density > 0.3 * density.max()).nonzero()
    assert (solid.amax(0) - solid.amin(0) + 1).tolist() == [7, 7, 7]  # 48 Å
    assert density.shape[0] < 15


def test_a_model_becomes_density_of_its_mass(tmp_path: Path) -> None:
    structure = gemmi.Structure()
    chain = gemmi.Chain("A")
    places = np.random.default_rng(0).uniform([70, 170, 270], [130, 230, 330], (400, 3))
    for number, (x, y, z) in enumerate(places, start=1):
        residue = gemmi.Residue()
        residue.name, residue.seqid = "ALA", gemmi.SeqId(str(number))
        atom = gemmi.Atom()
        atom.name, atom.element, atom.pos = "CA", gemmi.Element("C"), gemmi.Position(x, y, z)
        residue.add_atom(atom)
        chain.add_residue(residue)
    model = gemmi.Model(1)
    model.add_chain(chain)
    structure.add_model(model)
    for file_name in ("model.pdb", "model.cif"):
        path = tmp_path / file_name
        if path.suffix == ".pdb":
            structure.write_pdb(str(path))
        else:
            structure.make_mmcif_document().write_file(str(path))
        density = load_density(path, 10.0)
        assert mass_kda(density, 10.0) == pytest.approx(400 * 12.011 * 1.07 / 1000, rel=0.01)
        assert off_centre(density) < 0.05
        assert 7 <= density.shape[0] <= 13


@pytest.mark.filterwarnings("ignore:Data array contains NaN")
def test_files_that_hold_no_density_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_density(tmp_path / "none.mrc", 10.0)
    (tmp_path / "notes.txt").write_text("no map")
    with pytest.raises(InputError, match="notes"):
        load_density(tmp_path / "notes.txt", 10.0)
    (tmp_path / "empty.pdb").write_text("REMARK nothing here\nEND\n")
    with pytest.raises(InputError, match="atoms"):
        load_density(tmp_path / "empty.pdb", 10.0)
    with mrcfile.new(tmp_path / "nan.mrc") as file:
        file.set_data(np.full((8, 8, 8), np.nan, dtype=np.float32))
        file.voxel_size = 10.0
    with pytest.raises(InputError, match="NaN"):
        load_density(tmp_path / "nan.mrc", 10.0)


def test_a_stray_piece_inside_a_real_capsid_map_is_emptied(shared_data: Path) -> None:
    path = find_map(shared_data / "maps", "virus-like-particle")
    assert path is not None
    density = load_density(path, 10.0, mass=2500.0, hollow_radius=105.0)
    half = density.shape[0] // 2
    steps = torch.arange(-half, half + 1)
    away = (steps[:, None, None] ** 2 + steps[:, None] ** 2 + steps**2).sqrt()
    assert float(density[away < 9].max()) < 0.05
    assert mass_kda(density, 10.0) == pytest.approx(2500, rel=1e-3)
    assert off_centre(density) < 0.3
