"""The CZII metric by hand, and average precision against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tomoseek.errors import InputError
from tomoseek.picks import Picks
from tomoseek.score import (
    Counts,
    average_precision,
    class_scores,
    count_hits,
    f_beta,
    precision_recall,
    weighted_f4,
)

FAR = 10_000.0


def test_a_second_candidate_on_the_same_reference_is_a_false_positive():
    assert count_hits([[0, 0, 0]], [[1, 0, 0], [0, 2, 0]], 60.0) == Counts(tp=1, fp=1, fn=0)


def test_the_limit_is_half_the_radius_and_counts_as_a_hit():
    assert count_hits([[0, 0, 0]], [[30, 0, 0]], 60.0) == Counts(1, 0, 0)
    assert count_hits([[0, 0, 0]], [[30.001, 0, 0]], 60.0) == Counts(0, 1, 1)


def test_each_reference_in_reach_of_one_candidate_is_hit():
    assert count_hits([[0, 0, 0], [10, 0, 0]], [[5, 0, 0]], 60.0) == Counts(2, 0, 0)


def test_without_references_every_candidate_is_false_and_without_candidates_every_reference_is_missed():
    assert count_hits([], [[1, 2, 3], [4, 5, 6]], 60.0) == Counts(0, 2, 0)
    assert count_hits([[1, 2, 3]], np.zeros((0, 3)), 60.0) == Counts(0, 0, 1)
    assert count_hits([], [], 60.0) == Counts(0, 0, 0)


def test_f4_by_hand():
    # P = 3/4, R = 3/5: 17 * 0.45 / (16 * 0.75 + 0.6) = 7.65 / 12.6
    assert f_beta(Counts(3, 1, 2)) == pytest.approx(7.65 / 12.6)
    # beta 1 is the harmonic mean
    assert f_beta(Counts(3, 1, 2), beta=1.0) == pytest.approx(2 * 0.45 / 1.35)
    assert f_beta(Counts(5, 0, 0)) == 1.0
    # One miss among ten costs more than one false candidate: 17*0.9/(16+0.9) and 17*(10/11)/(16*10/11+1)
    assert f_beta(Counts(9, 0, 1)) == pytest.approx(15.3 / 16.9)
    assert f_beta(Counts(10, 1, 0)) == pytest.approx(170 / 171)


def test_f4_is_zero_without_hits_and_undefined_without_anything():
    assert f_beta(Counts(0, 5, 0)) == 0.0
    assert f_beta(Counts(0, 0, 5)) == 0.0
    assert np.isnan(f_beta(Counts(0, 0, 0)))


def test_counts_add_up_over_runs_before_f4_is_taken():
    reference = {
        "A": {"ribosome": [[0, 0, 0], [FAR, 0, 0]]},
        "B": {"ribosome": [[0, 0, 0]]},
        "C": {},
    }
    candidates = {
        "A": {"ribosome": [[0, 0, 0]]},
        "B": {"ribosome": [[0, 0, 0]]},
        "C": {"ribosome": [[5, 5, 5]]},
    }
    scores = class_scores(reference, candidates, {"ribosome": 150.0})
    assert scores["ribosome"] == pytest.approx(
        {"f4": f_beta(Counts(2, 1, 1)), "precision": 2 / 3, "recall": 2 / 3, "tp": 2, "fp": 1, "fn": 1}
    )


def test_a_class_absent_from_a_run_makes_every_candidate_there_false():
    scores = class_scores({"A": {}}, {"A": {"apo-ferritin": [[0, 0, 0], [FAR, 0, 0]]}}, {"apo-ferritin": 60.0})
    assert (scores["apo-ferritin"]["fp"], scores["apo-ferritin"]["f4"]) == (2, 0.0)


def test_the_mean_carries_the_challenge_weights_and_leaves_out_classes_nobody_saw():
    scores = {
        "ribosome": {"f4": 1.0},  # weight 1
        "thyroglobulin": {"f4": 0.4},  # weight 2
        "beta-amylase": {"f4": 0.0},  # weight 0
        "virus-like-particle": {"f4": float("nan")},
    }
    assert weighted_f4(scores) == pytest.approx((1.0 + 0.8) / 3)
    assert weighted_f4(scores, dict.fromkeys(scores, 1.0)) == pytest.approx(1.4 / 3)
    assert np.isnan(weighted_f4({"beta-amylase": {"f4": 1.0}}))


def test_candidates_in_a_run_nobody_annotated_are_refused():
    with pytest.raises(InputError, match=r"expected candidates in annotated runs \(A\), found some in B"):
        class_scores({"A": {}}, {"B": {"ribosome": [[0, 0, 0]]}}, {"ribosome": 150.0})


def scattered(seed: int, tied: bool) -> tuple[dict, dict, np.ndarray, np.ndarray]:
    """References on a wide grid, each hit by exactly one candidate, among false candidates far from all."""
    generator = np.random.default_rng(seed)
    reference, candidates, labels, ranks = {}, {}, [], []
    for run in ("A", "B"):
        grid = np.stack(np.meshgrid([0, 1000, 2000], [0, 1000, 2000], [0, 1000]), -1).reshape(-1, 3).astype(float)
        reference[run] = grid
        hits = grid + generator.uniform(-10, 10, grid.shape)
        points = np.concatenate([hits, generator.uniform(0, 2000, (25, 3)) + np.array([0, 0, 5000])])
        scores = generator.random(len(points)) + 0.3 * (np.arange(len(points)) < len(grid))
        candidates[run] = Picks(points, np.round(scores, 1) if tied else scores)
        labels.append(np.arange(len(points)) < len(grid))
        ranks.append(candidates[run].scores)
    return reference, candidates, np.concatenate(labels), np.concatenate(ranks)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_average_precision_agrees_with_scikit_learn_where_every_reference_is_found(seed: int, tied: bool):
    reference, candidates, labels, scores = scattered(seed, tied)
    ours = average_precision(reference, candidates, 60.0)
    assert ours == pytest.approx(average_precision_score(labels, scores))


def test_average_precision_by_hand_with_a_duplicate_and_a_miss():
    reference = {"A": [[0, 0, 0], [FAR, 0, 0], [0, FAR, 0]]}
    candidates = {"A": Picks(np.array([[0, 0, 0], [3, 0, 0], [FAR, 0, 0]]), np.array([0.9, 0.8, 0.7]))}
    # hit, duplicate, hit; the third reference is never found: (1/3) * 1 + (1/3) * (2/3)
    assert average_precision(reference, candidates, 60.0) == pytest.approx(1 / 3 + 2 / 9)
    precision, recall, threshold = precision_recall(reference, candidates, 60.0)
    assert precision == pytest.approx([1, 1 / 2, 2 / 3])
    assert recall == pytest.approx([1 / 3, 1 / 3, 2 / 3])
    assert threshold.tolist() == [0.9, 0.8, 0.7]


def test_average_precision_of_nothing():
    nothing = Picks(np.zeros((0, 3)))
    some = Picks(np.zeros((1, 3)))
    assert average_precision({"A": [[0, 0, 0]]}, {"A": nothing}, 60.0) == 0.0
    assert average_precision({"A": [[0, 0, 0]]}, {}, 60.0) == 0.0
    assert np.isnan(average_precision({"A": []}, {"A": some}, 60.0))
