"""A specimen as in a cell: a crowd, filaments, membranes with proteins in them."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from tomoseek.errors import InputError
from tomoseek.geometry import points_to_indices
from tomoseek.simulate import SceneConfig, builtin_density
from tomoseek.simulate.crowd import PARTICLE_KDA, SOLID, fill_crowd
from tomoseek.simulate.domains import CUBIC_ANGSTROM_PER_KDA
from tomoseek.simulate.filaments import POLYMERS, add_filament, draw_path, subunit_places
from tomoseek.simulate.membranes import places_on, random_wall
from tomoseek.simulate.scene import Specimen, build_specimen

CPU = torch.device("cpu")
LOW, HIGH = torch.zeros(3), torch.tensor([1000.0, 1000.0, 600.0])


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def specimen(count: int = 0, **ice: object) -> Specimen:
    settings = {"vesicles": [0, 0], "gold_beads": [0, 0], "thickness_angstrom": [400.0, 400.0], **ice}
    scene = SceneConfig(shape=[56, 96, 96], **settings)  # type: ignore[arg-type]
    ferritin = {"apo-ferritin": builtin_density("apo-ferritin", 10.0)}
    return build_specimen(ferritin, {"apo-ferritin": count}, scene, generator(2), CPU)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.3])
def test_a_crowd_takes_the_share_of_the_slab_that_was_asked_for_and_nothing_beyond(share: float) -> None:
    volume = torch.zeros(64, 96, 96)
    fill_crowd(volume, (16, 48), share, (20.0, 1000.0), 10.0, generator(0))
    taken = float(volume.sum()) / (32 * 96 * 96)
    assert 0.85 * share < taken < 1.1 * share
    assert float(volume[:8].sum() + volume[56:].sum()) < 0.01 * float(volume.sum())


def test_proteins_of_a_crowd_keep_off_each_other_and_off_what_was_there() -> None:
    volume = torch.zeros(40, 80, 80)
    volume[:, 30:50, 30:50] = 1.0
    before = volume.clone()
    fill_crowd(volume, (0, 40), 0.25, (20.0, 20.5), 10.0, generator(0))
    alone = torch.zeros(40, 80, 80)
    fill_crowd(alone, (0, 40), 0.0004, (20.0, 20.5), 10.0, generator(0))  # one or two
    # Only soft edges, below what counts as taken, may fall on one another.
    assert float(volume.max()) < max(float(alone.max()), 1.0) + 2 * SOLID
    assert float((volume - before)[before == 1.0].max()) < 2 * SOLID


def test_a_crowd_lists_the_places_of_those_as_heavy_as_particles() -> None:
    volume = torch.zeros(64, 96, 96)
    points, count = fill_crowd(volume, (0, 64), 0.15, (20.0, 1000.0), 10.0, generator(1))
    assert 10 < len(points) < count / 3
    values = volume[tuple(torch.from_numpy(points_to_indices(points, 10.0)).long().T)]
    radius = (PARTICLE_KDA * CUBIC_ANGSTROM_PER_KDA * 3 / 4 / np.pi) ** (1 / 3) / 10.0
    around = [volume[tuple(slice(int(max(0, c - radius)), int(c + radius) + 1) for c in index)].mean()
              for index in points_to_indices(points, 10.0)]  # fmt: skip
    assert float(np.mean(around)) > 2 * float(volume.mean())
    assert float((values > SOLID).float().mean()) > 0.6  # the centre of a ring is empty
    light, _ = fill_crowd(torch.zeros(64, 96, 96), (0, 64), 0.02, (20.0, 100.0), 10.0, generator(1))
    assert len(light) == 0


def test_a_chain_forgets_its_direction_over_its_persistence_length() -> None:
    far = torch.full((3,), 1e6)
    paths = [draw_path("dna", -far, far, generator(seed)) for seed in range(200)]
    cosines = []
    for path in paths:
        steps = torch.diff(path, dim=0)
        steps = steps / steps.norm(dim=1, keepdim=True)
        cosines.append(float((steps[:-25] * steps[25:]).sum(1).mean()))  # 500 Å apart
    assert np.mean(cosines) == pytest.approx(np.exp(-1), abs=0.08)


def test_a_microtubule_is_a_tube_of_thirteen_protofilaments_of_its_mass() -> None:
    path = torch.stack([torch.tensor([480.0, 100.0 + 20 * k, 280.0]) for k in range(31)])  # 600 Å along y
    places = subunit_places(POLYMERS["microtubule"], path)
    assert len(places) == 13 * 15
    distance = torch.hypot(places[:, 0] - 480, places[:, 2] - 280)
    assert torch.allclose(distance, torch.tensor(112.0), atol=0.1)
    volume = torch.zeros(56, 96, 96)
    add_filament(volume, "microtubule", path, 10.0)
    mass = float(volume.sum()) * 1000 / CUBIC_ANGSTROM_PER_KDA
    assert mass == pytest.approx(13 * 15 * 50.0, rel=0.05)
    assert float(volume[28, 40, 48]) < 0.05 < 0.5 < float(volume[28, 20:60, 58:61].max())


def test_filaments_stay_in_the_ice_and_particles_keep_off_them() -> None:
    with_filaments = specimen(40, filaments=[12, 12])
    assert with_filaments.distractors["filaments"] > 3
    inside = with_filaments.clutter_xyz[:, 2]
    assert inside.min() > 275 - 200 and inside.max() < 275 + 200
    particles = with_filaments.points_xyz["apo-ferritin"]
    assert len(particles) > 5
    assert cKDTree(with_filaments.clutter_xyz).query(particles)[0].min() > 60.0


def test_a_wall_crosses_the_field_and_points_on_it_lie_in_its_bilayer() -> None:
    for seed in range(8):
        for bilayer in random_wall(LOW, HIGH, generator(seed)):
            points = places_on(bilayer, LOW, HIGH, 100, generator(seed))
            assert float(bilayer.shell_distance(points).abs().max()) < 1.0
        assert len(points) > 0


def test_proteins_sit_in_membranes_and_marks_on_the_bare_parts() -> None:
    bare = specimen(walls=[1, 1])
    full = specimen(walls=[1, 1], membrane_proteins=[30, 30])
    assert full.distractors["membrane_proteins"] >= 20 > 0 == bare.distractors["membrane_proteins"]
    assert float(full.density.sum()) > float(bare.density.sum())
    index = torch.from_numpy(points_to_indices(bare.clutter_xyz, 10.0)).round().long()
    inside = ((index >= 0) & (index < torch.tensor(bare.density.shape))).all(1)
    assert float(bare.density[tuple(index[inside].T)].mean()) > 0.2


def test_a_specimen_says_which_layers_are_ice() -> None:
    first, last = specimen(crowding=[0.2, 0.2]).slab
    assert (first, last) == (8, 49)  # 400 Å in the middle of 550 Å


@pytest.mark.parametrize("setting", [{"crowding": [0.1, 0.6]}, {"crowd_kda": [1.0, 30.0]}, {"walls": [2, 1]}])
def test_an_impossible_crowd_is_refused(setting: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"ice.{next(iter(setting))}"):
        SceneConfig(**setting)  # type: ignore[arg-type]
