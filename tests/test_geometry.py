"""Points and voxels: one convention, and the way back."""

import numpy as np
import pytest

from tomoseek.complexes import CHALLENGE, COMPLEXES, class_weight
from tomoseek.geometry import (
    angstrom_to_cells,
    cell_to_voxel,
    indices_to_points,
    is_familiar,
    is_same_spacing,
    points_to_indices,
    voxel_to_cell,
)


def test_the_centre_of_the_first_voxel_is_the_origin_and_x_is_the_last_axis():
    assert np.array_equal(indices_to_points([[0, 0, 0]], 10.0), [[0, 0, 0]])
    assert np.array_equal(indices_to_points([[1, 2, 3]], 10.0), [[30, 20, 10]])
    assert np.array_equal(points_to_indices([[30, 20, 10]], 10.0), [[1, 2, 3]])


def test_points_come_back_from_voxels_and_from_cells():
    points = np.random.default_rng(0).uniform(0, 6000, (50, 3))
    indices = points_to_indices(points, 10.012)
    assert np.allclose(indices_to_points(indices, 10.012), points)
    for stride in (1, 2, 4, 8):
        assert np.allclose(cell_to_voxel(voxel_to_cell(indices, stride), stride), indices)


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_the_centre_of_a_cell_is_the_mean_of_the_voxels_it_covers(stride: int):
    covered = np.arange(3 * stride, 4 * stride)
    assert cell_to_voxel(3, stride) == covered.mean()


def test_no_points_are_still_an_array_of_three_columns():
    assert points_to_indices([], 10.0).shape == (0, 3)
    assert indices_to_points(np.zeros((0, 3)), 10.0).shape == (0, 3)


def test_a_length_is_told_in_voxels_or_in_cells_of_several():
    assert angstrom_to_cells(120.0, 10.0) == 12
    assert angstrom_to_cells(120.0, 10.0, 4) == 3


def test_spacings_are_the_same_within_a_hundredth_and_familiar_within_a_tenth():
    assert [is_same_spacing(spacing, 10.0) for spacing in (9.85, 9.95, 10.0, 10.05, 10.15)] == [
        False, True, True, True, False,
    ]  # fmt: skip
    assert [is_familiar(spacing, 10.0) for spacing in (8.9, 9.1, 10.0, 10.9, 11.1)] == [False, True, True, True, False]


def test_challenge_classes_have_the_published_radii_and_weights():
    radii = [COMPLEXES[name].radius_angstrom for name in CHALLENGE]
    assert radii == [60, 65, 90, 150, 130, 135]
    assert [class_weight(name) for name in CHALLENGE] == [1, 0, 2, 1, 2, 1]
    assert class_weight("nucleosome") == 1.0
    assert "proteasome" in COMPLEXES and "proteasome" not in CHALLENGE
