"""Whole tomograms: places, truth, halves, noise."""

import numpy as np
import pytest
import torch

from tomoseek.geometry import points_to_indices
from tomoseek.simulate import MicroscopeConfig, SceneConfig, builtin_density, simulate_tomogram
from tomoseek.simulate.placing import bounding_radius
from tomoseek.simulate.scene import build_specimen
from tomoseek.simulate.tomogram import image_specimen

CPU = torch.device("cpu")
EMPTY = {"vesicles": [0, 0], "gold_beads": [0, 0]}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def densities() -> dict[str, torch.Tensor]:
    return {name: builtin_density(name, 10.0) for name in ("apo-ferritin", "proteasome", "thyroglobulin")}


def test_no_two_particles_overlap_and_none_leaves_the_ice(densities: dict[str, torch.Tensor]) -> None:
    scene = SceneConfig(shape=[48, 96, 96], thickness_angstrom=[400.0, 400.0], **EMPTY)
    specimen = build_specimen(densities, dict.fromkeys(densities, 40), scene, generator(0), CPU)
    points = np.concatenate(list(specimen.points_xyz.values()))
    radii = np.concatenate(
        [np.full(len(specimen.points_xyz[name]), bounding_radius(d, 10.0)) for name, d in densities.items()]
    )
    assert 30 < len(points) < 120
    distance = np.linalg.norm(points[:, None] - points, axis=2)
    distance[np.diag_indices(len(points))] = np.inf
    assert (distance >= radii[:, None] + radii - 1e-3).all()
    assert (np.abs(points[:, 2] - 235) + radii <= 200.01).all()
    assert (points[:, :2] - radii[:, None] >= -0.01).all()


def test_particles_keep_clear_of_membranes(densities: dict[str, torch.Tensor]) -> None:
    only = {"apo-ferritin": densities["apo-ferritin"]}
    scene = SceneConfig(
        shape=[48, 96, 96], thickness_angstrom=[480.0, 480.0], vesicles=[1, 1], gold_beads=[0, 0],
        vesicle_radius_angstrom=[300.0, 300.0],
    )  # fmt: skip
    with_vesicle = build_specimen(only, {"apo-ferritin": 60}, scene, generator(4), CPU)
    membrane = build_specimen(only, {"apo-ferritin": 0}, scene, generator(4), CPU).density
    assert float(membrane.max()) > 0.5
    for index in points_to_indices(with_vesicle.points_xyz["apo-ferritin"], 10.0):
        grids = np.indices(membrane.shape) - index[:, None, None, None]
        near = np.linalg.norm(grids, axis=0) < 6
        assert float(membrane[torch.from_numpy(near)].max()) < 0.3


def test_truth_lies_on_the_density_to_half_a_voxel(densities: dict[str, torch.Tensor]) -> None:
    only = {"apo-ferritin": densities["apo-ferritin"]}
    scene = SceneConfig(shape=[48, 96, 96], gap_angstrom=80.0, **EMPTY)
    specimen = build_specimen(only, {"apo-ferritin": 8}, scene, generator(1), CPU)
    wide = MicroscopeConfig(tilt_range_degree=[60.0, 60.0])
    image, same, _ = image_specimen(specimen, scene, wide, generator(1), None)
    assert torch.equal(image, same)
    indices = points_to_indices(specimen.points_xyz["apo-ferritin"], 10.0)
    assert len(indices) == 8
    steps = np.arange(-9, 10)
    for volume in (specimen.density.numpy(), -image.numpy()):
        for index in indices:
            nearest = np.round(index).astype(int)
            low, high = nearest - 9, nearest + 10
            if (low < 0).any() or (high > volume.shape).any():
                continue
            window = volume[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
            window = np.where(window > 0.25 * window.max(), window, 0)
            grids = np.meshgrid(steps, steps, steps, indexing="ij")
            found = [float((grid * window).sum() / window.sum()) for grid in grids]
            assert nearest + found == pytest.approx(index, abs=0.5)


def test_rotations_turn_the_density_as_recorded() -> None:
    rod = torch.zeros(21, 21, 21)
    rod[10, 10, 12:20] = 1.0  # points along x
    scene = SceneConfig(shape=[48, 48, 48], **EMPTY)
    specimen = build_specimen({"rod": rod}, {"rod": 1}, scene, generator(2), CPU)
    index = points_to_indices(specimen.points_xyz["rod"], 10.0)[0]
    grids = np.indices((48, 48, 48)) - index[:, None, None, None]
    density = specimen.density.numpy()
    centre_zyx = (grids * density).sum((1, 2, 3)) / density.sum()
    expected_xyz = specimen.rotations["rod"][0] @ [5.5, 0, 0]
    assert centre_zyx[::-1] == pytest.approx(expected_xyz, abs=0.1)


def test_the_halves_share_the_signal_and_not_the_noise(densities: dict[str, torch.Tensor]) -> None:
    scene = SceneConfig(shape=[32, 64, 64], **EMPTY)
    microscope = MicroscopeConfig(snr=[0.3, 0.3])
    counts = dict.fromkeys(densities, 2)
    tomogram = simulate_tomogram(densities, counts, scene, microscope, seed=5)
    draws = generator(5)
    specimen = build_specimen(densities, counts, scene, draws, CPU)
    clean, _, _ = image_specimen(specimen, scene, microscope, draws, None)
    noise_even, noise_odd = tomogram.even - clean, tomogram.odd - clean
    together = torch.corrcoef(torch.stack([noise_even.flatten(), noise_odd.flatten()]))[0, 1]
    assert abs(float(together)) < 0.02
    assert float(noise_even.std()) == pytest.approx(float(noise_odd.std()), rel=0.03)
    full = tomogram.full - clean
    assert float(full.std() / noise_even.std()) == pytest.approx(2**-0.5, rel=0.03)
    assert torch.allclose(tomogram.full, (tomogram.even + tomogram.odd) / 2)


def test_the_same_seed_gives_the_same_tomogram(densities: dict[str, torch.Tensor]) -> None:
    scene = SceneConfig(shape=[32, 48, 48])
    counts = dict.fromkeys(densities, 2)
    first, again, other = (
        simulate_tomogram(densities, counts, scene, MicroscopeConfig(), seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(first.full, again.full)
    assert first.metadata == again.metadata
    assert not torch.equal(first.full, other.full)
    assert first.metadata["defocus_um"] != other.metadata["defocus_um"]


def test_protein_is_dark_in_the_tomogram(densities: dict[str, torch.Tensor]) -> None:
    scene = SceneConfig(shape=[48, 64, 64], **EMPTY)
    tomogram = simulate_tomogram(densities, {"proteasome": 3}, scene, MicroscopeConfig(), seed=0)
    assert tomogram.full.dtype == torch.float32
    assert list(tomogram.full.shape) == [48, 64, 64]
    for z, y, x in np.round(points_to_indices(tomogram.points["proteasome"], 10.0)).astype(int):
        inside = tomogram.full[z - 3 : z + 4, y - 3 : y + 4, x - 3 : x + 4].mean()
        assert float(inside) < -2 * float(tomogram.full.mean().abs())


def test_the_signal_to_noise_reported_is_the_one_asked_for_and_the_one_there(
    densities: dict[str, torch.Tensor],
) -> None:
    scene = SceneConfig(shape=[32, 96, 96], **EMPTY)
    counts = dict.fromkeys(densities, 4)
    tomogram = simulate_tomogram(densities, counts, scene, MicroscopeConfig(snr=[0.1, 0.1]), seed=3)
    assert tomogram.metadata["snr"] == pytest.approx(0.1, rel=1e-4)
    assert len(tomogram.metadata["snr_by_tilt"]) == 41


def test_the_presets_come_out_in_their_ranges() -> None:
    names = ("apo-ferritin", "beta-galactosidase", "ribosome", "thyroglobulin", "virus-like-particle")
    densities = {name: builtin_density(name, 10.0) for name in names}
    scene = SceneConfig(shape=[64, 192, 192], gold_beads=[2, 2])
    for dose, low, high in (([100.0, 160.0], 0.15, 0.5), ([12.0, 32.0], 0.02, 0.1)):
        microscope = MicroscopeConfig(total_dose=dose)
        for seed in range(2):
            tomogram = simulate_tomogram(densities, dict.fromkeys(names, 6), scene, microscope, seed=seed)
            assert low < tomogram.metadata["snr"] < high


def test_given_points_are_kept_and_filled(densities: dict[str, torch.Tensor]) -> None:
    given = np.array([[200.0, 150.0, 160.0], [5.0, 300.0, 160.0]])  # the second is cut by the border
    scene = SceneConfig(shape=[32, 48, 48], **EMPTY)
    tomogram = simulate_tomogram(
        densities, {"proteasome": 2}, scene, MicroscopeConfig(), seed=0, fixed_points={"apo-ferritin": given}
    )
    assert tomogram.points["apo-ferritin"] == pytest.approx(given, abs=1e-3)
    for point in tomogram.points["proteasome"]:
        assert np.linalg.norm(given - point, axis=1).min() > 100
