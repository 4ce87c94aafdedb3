"""Decoys are of the size of what they stand beside, and finds on them are counted or left out."""

import numpy as np
import pytest
import torch

from benchmarks.search.decoys import SHELL_VOXELS, SPACING, ball_of, both_precisions, decoys_of, ellipsoid_of, shuffled
from tomoseek.picks.points import Picks
from tomoseek.simulate import builtin_density
from tomoseek.simulate.domains import mass_kda
from tomoseek.simulate.placing import bounding_radius


def radii_of_gyration(density: torch.Tensor) -> np.ndarray:
    """Along the three main axes, in voxels."""
    half = density.shape[0] // 2
    steps = torch.arange(-half, half + 1.0)
    places = torch.cartesian_prod(steps, steps, steps)
    weight = density.flatten().clamp_min(0)
    moments = (places[:, :, None] * places[:, None] * weight[:, None, None]).sum(0) / weight.sum()
    return np.sqrt(np.linalg.eigvalsh(moments.numpy()))


@pytest.mark.parametrize("name", ["ribosome", "thyroglobulin"])
def test_decoys_have_the_mass_of_their_complex(name: str) -> None:
    density = builtin_density(name, SPACING)
    for decoy in decoys_of(name, density).values():
        assert mass_kda(decoy, SPACING) == pytest.approx(mass_kda(density, SPACING), rel=0.08)
        assert bounding_radius(decoy, SPACING) < 1.2 * bounding_radius(density, SPACING)


def test_a_ball_is_round_and_an_ellipsoid_is_not() -> None:
    density = builtin_density("ribosome", SPACING)
    ball, ellipsoid = radii_of_gyration(ball_of(density)), radii_of_gyration(ellipsoid_of(density))
    assert ball.max() / ball.min() < 1.02
    assert ellipsoid.max() / ellipsoid.min() == pytest.approx(1.4 / 0.714, rel=0.1)


def test_a_shuffled_density_keeps_the_radial_profile_and_nothing_else() -> None:
    density = builtin_density("thyroglobulin", SPACING)
    decoy = shuffled(density, 0)

    def profile(volume: torch.Tensor) -> np.ndarray:
        half = volume.shape[0] // 2
        steps = torch.arange(-half, half + 1.0)
        distance = (steps[:, None, None] ** 2 + steps[:, None] ** 2 + steps**2).sqrt()
        shell = (distance / SHELL_VOXELS).long().flatten()
        return torch.bincount(shell, volume.flatten())[:8].numpy()

    assert np.corrcoef(profile(density), profile(decoy))[0, 1] > 0.97
    half = min(density.shape[0], decoy.shape[0]) // 2
    inner = [each[tuple(slice(each.shape[0] // 2 - half, each.shape[0] // 2 + half + 1) for _ in range(3))]
             for each in (density, decoy)]  # fmt: skip
    assert np.corrcoef(inner[0].flatten(), inner[1].flatten())[0, 1] < 0.85


def test_finds_on_decoys_cost_precision_only_where_they_count() -> None:
    truth = {"one": np.array([[100.0, 100, 100], [500.0, 100, 100]])}
    decoys = {"one": np.array([[300.0, 100, 100]])}
    found = {"one": Picks(np.array([[300.0, 105, 100], [100.0, 100, 100], [500.0, 100, 100]]), np.array([3.0, 2, 1]))}
    with_them, without = both_precisions(truth, found, decoys, 60.0)
    assert without == pytest.approx(1.0)
    assert with_them == pytest.approx((1 / 2 + 2 / 3) / 2)
