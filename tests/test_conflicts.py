"""Picks of different objects in one place: one stays, and what is expected follows."""

import numpy as np

from tomoseek.picks.conflicts import rival_pairs, winners


def test_a_pick_that_was_given_up_takes_no_other_with_it() -> None:
    pairs = np.array([[0, 1], [1, 2], [3, 4]])  # 0 - 1 - 2 in a row, and 3 - 4 apart from them
    assert winners(pairs, np.array([0.1, 0.2, 0.3, 0.5, 0.4, 0.0])).tolist() == [-1, 0, -1, 4, -1, -1]
    assert winners(pairs, np.array([0.3, 0.1, 0.2, 0.4, 0.5, 0.0])).tolist() == [1, -1, 1, -1, 3, -1]


def test_one_place_is_within_half_the_sum_of_the_radii_of_two_objects() -> None:
    points = np.array([[0.0, 0, 0], [104, 0, 0], [0, 105, 0], [0, 0, 59], [300, 0, 0]])
    points += np.array([400, 300, 200])
    owner, radius = np.array([0, 1, 1, 0, 1]), np.array([150.0, 60, 60, 150, 60])
    found = {tuple(sorted(pair)) for pair in rival_pairs(points, owner, radius).tolist()}
    assert found == {(0, 1)}  # half the sum is 105; two of one object are none of its business
    assert rival_pairs(np.zeros((0, 3)), owner[:0], radius[:0]).shape == (0, 2)
