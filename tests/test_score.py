"""The CZII metric by hand and against another implementation, and rankings against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, f1_score

from tomoseek.errors import InputError
from tomoseek.evaluation.ranking import rank, score_ranking
from tomoseek.evaluation.score import Counts, class_scores, count_hits, f_beta, hit_distances, weighted_f4
from tomoseek.picks.points import Picks

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
        {"f4": f_beta(Counts(2, 1, 1)), "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "tp": 2, "fp": 1, "fn": 1}
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
def test_rankings_agree_with_scikit_learn_where_every_reference_is_found(seed: int, tied: bool):
    reference, candidates, labels, scores = scattered(seed, tied)
    ranking = rank(reference, candidates, 60.0)
    assert ranking.average_precision() == pytest.approx(average_precision_score(labels, scores))
    assert ranking.best_f1() == pytest.approx(max(f1_score(labels, scores >= value) for value in scores))
    assert (np.diff(ranking.scores) <= 0).all() and ranking.right.sum() == labels.sum()


def test_ranking_by_hand_with_a_duplicate_and_a_miss():
    reference = {"A": [[0, 0, 0], [FAR, 0, 0], [0, FAR, 0]]}
    candidates = {"A": Picks(np.array([[0, 0, 0], [3, 0, 0], [FAR, 0, 0]]), np.array([0.9, 0.8, 0.7]))}
    ranking = rank(reference, candidates, 60.0)
    # hit, duplicate, hit; the third reference is never found: (1/3) * 1 + (1/3) * (2/3)
    assert ranking.average_precision() == pytest.approx(1 / 3 + 2 / 9)
    precision, recall, threshold = ranking.precision_recall()
    assert precision == pytest.approx([1, 1 / 2, 2 / 3])
    assert recall == pytest.approx([1 / 3, 1 / 3, 2 / 3])
    assert threshold.tolist() == [0.9, 0.8, 0.7]
    assert ranking.best_f1() == pytest.approx(2 / 3)  # of all three: P = R = 2/3


def test_ranking_of_nothing():
    nothing = Picks(np.zeros((0, 3)))
    some = Picks(np.zeros((1, 3)))
    for found in ({"A": nothing}, {}):
        ranking = rank({"A": [[0, 0, 0]]}, found, 60.0)
        assert ranking.average_precision() == ranking.best_f1() == 0.0
        assert [len(column) for column in ranking.precision_recall()] == [0, 0, 0]
    without_reference = rank({"A": []}, {"A": some}, 60.0)
    assert np.isnan(without_reference.average_precision()) and np.isnan(without_reference.best_f1())
    assert np.isnan(rank({"A": []}, {}, 60.0).average_precision())
    assert rank({"A": [[FAR, 0, 0]]}, {"A": some}, 60.0).best_f1() == 0.0
    assert rank({"A": [], "B": [[0, 0, 0]]}, {"B": some}, 60.0).average_precision() == 1.0
    assert rank({"A": [[0, 0, 0]]}, {"A": some, "elsewhere": some}, 60.0).right.tolist() == [True, False]


def test_a_candidate_takes_the_nearest_reference_and_leaves_the_other_to_the_next():
    candidates = {"A": Picks(np.array([[2.0, 0, 0], [40.0, 0, 0]]), np.array([0.9, 0.8]))}
    for references in ([[0, 0, 0], [20, 0, 0]], [[20, 0, 0], [0, 0, 0]]):
        ranking = rank({"A": references}, candidates, 60.0)
        assert ranking.scores.tolist() == [0.9, 0.8] and ranking.right.tolist() == [True, True]


def test_picks_of_one_class_are_scored_as_a_ranking_and_as_they_are_over_the_runs_of_the_reference():
    reference = {"A": [[0, 0, 0], [FAR, 0, 0]], "B": np.zeros((0, 3))}
    picks = {
        "A": Picks(np.array([[0, 0, 0], [0, FAR, 0]]), np.array([0.9, 0.2])),
        "B": Picks(np.zeros((1, 3)), np.array([0.5])),
        "of the examples": Picks(np.zeros((1, 3)), np.array([1.0])),
    }
    assert score_ranking(reference, picks, 60.0) == pytest.approx(
        {
            "average_precision": 1 / 2, "best_f1": 2 / 3, "precision": 1 / 3, "recall": 1 / 2,
            "num_references": 2, "num_picks": 3,
        }
    )  # fmt: skip


RADII = {"apo-ferritin": 60.0, "beta-amylase": 65.0, "ribosome": 150.0, "thyroglobulin": 130.0, "proteasome": 75.0}


def random_project(seed: int) -> tuple[dict, dict]:
    """Reference and candidates on a coarse lattice: many lie at the limit, on each other, or nowhere."""
    generator = np.random.default_rng(seed)
    reference, candidates = {}, {}
    for run in ("A", "B", "C")[: generator.integers(1, 4)]:
        reference[run], candidates[run] = {}, {}
        for name in RADII:
            points = generator.integers(0, 30, (generator.integers(0, 9), 3)) * 5.0 * generator.choice([0.4, 1, 3])
            if generator.random() < 0.8:
                reference[run][name] = points
            if generator.random() < 0.8:
                shift = generator.choice([0, 0, 30, 65, 75, 32.5], points.shape) * np.array([1, 0, 0])
                alone = generator.integers(0, 90, (generator.integers(0, 4), 3)) * 5.0
                everything = np.concatenate([points + shift, points[:2], points[:1], alone])
                candidates[run][name] = everything[generator.random(len(everything)) < generator.choice([0.2, 1.0])]
        if generator.random() < 0.1:
            del candidates[run]
    return reference, candidates


def rule_in_pandas(reference: dict, candidates: dict) -> tuple[pd.DataFrame, float]:
    """The challenge's rule from its description: every pair of a class in a run, then sums, then F4."""

    def table(points: dict) -> pd.DataFrame:
        rows = [(name, run, *point) for run, each in points.items() for name in each for point in each[name]]
        return pd.DataFrame(rows, columns=["name", "run", *"xyz"]).reset_index()

    keys, truth, found = ["name", "run"], table(reference), table(candidates)
    pairs = truth.merge(found, on=keys, suffixes=("", "_found"))
    squared = sum((pairs[axis] - pairs[f"{axis}_found"]) ** 2 for axis in "xyz")
    hit = pairs[squared <= (pairs["name"].map(RADII).astype(float) / 2) ** 2]
    every = pd.MultiIndex.from_product([RADII, reference], names=keys)
    num_truth, num_found = (each.groupby(keys).size().reindex(every, fill_value=0) for each in (truth, found))
    tp = hit.groupby(keys)["index"].nunique().reindex(every, fill_value=0)
    counts = pd.DataFrame({"tp": tp, "fp": (num_found - tp).clip(lower=0), "fn": num_truth - tp})
    sums = counts.groupby("name").sum()
    scored = sums.sum(axis=1) > 0
    sums["precision"] = (sums.tp / (sums.tp + sums.fp)).fillna(0.0)
    sums["recall"] = (sums.tp / (sums.tp + sums.fn)).fillna(0.0)
    for beta, column in ((4, "f4"), (1, "f1")):
        below = beta**2 * sums.precision + sums.recall
        sums[column] = ((1 + beta**2) * sums.precision * sums.recall / below).fillna(0.0).where(scored)
    weights = pd.Series({"apo-ferritin": 1, "beta-amylase": 0, "ribosome": 1, "thyroglobulin": 2, "proteasome": 1})
    weights = weights[sums.index][scored]
    total = (sums.f4[scored] * weights).sum() / weights.sum() if weights.sum() else np.nan
    return sums, total


def test_scores_agree_with_the_rule_written_anew_on_random_projects():
    num_at_limit = num_absent = num_shared = 0
    for seed in range(40):
        reference, candidates = random_project(seed)
        scores = class_scores(reference, candidates, RADII)
        expected, total = rule_in_pandas(reference, candidates)
        for name in RADII:
            row = {key: scores[name][key] for key in expected.columns}
            assert row == pytest.approx(expected.loc[name].to_dict(), rel=1e-14, nan_ok=True), (seed, name)
            assert [row[key] for key in ("tp", "fp", "fn")] == expected.loc[name, ["tp", "fp", "fn"]].tolist()
            for run, truth in reference.items():
                found = candidates.get(run, {}).get(name, ())
                distances = hit_distances(truth.get(name, ()), found, RADII[name])
                num_at_limit += int((distances == RADII[name] / 2).sum())
                num_absent += int(name not in truth and len(found) > 0)
                num_shared += int(len(distances) > len(found))
        assert weighted_f4(scores) == pytest.approx(total, rel=1e-14, nan_ok=True), seed
    assert min(num_at_limit, num_absent, num_shared) > 10  # the cases are as hard as they are meant to be


def test_each_hit_is_as_far_as_its_nearest_candidate_and_misses_have_no_distance():
    reference = [[0, 0, 0], [FAR, 0, 0], [0, FAR, 0]]
    candidates = [[0, 20, 0], [0, 0, 5], [FAR + 30, 0, 0], [0, FAR + 31, 0]]
    assert hit_distances(reference, candidates, 60.0).tolist() == [5.0, 30.0]
    assert len(hit_distances(reference, [], 60.0)) == len(hit_distances([], candidates, 60.0)) == 0


@pytest.mark.parametrize("seed", range(5))
def test_there_is_a_distance_for_each_true_positive_and_it_is_the_least(seed: int):
    generator = np.random.default_rng(seed)
    reference, candidates = generator.uniform(0, 400, (40, 3)), generator.uniform(0, 400, (60, 3))
    nearest = np.linalg.norm(reference[:, None] - candidates[None], axis=-1).min(axis=1)
    found = hit_distances(reference, candidates, 150.0)
    assert found == pytest.approx(nearest[nearest <= 75.0])
    assert len(found) == count_hits(reference, candidates, 150.0).tp
