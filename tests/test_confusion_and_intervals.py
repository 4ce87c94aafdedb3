"""Intervals, confusion and reliability, by hand and against counting anew."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from tomoseek.evaluation.confusion import confuse
from tomoseek.evaluation.intervals import bootstrap, caveat, draw_runs
from tomoseek.evaluation.reliability import calibration_error, reliability
from tomoseek.evaluation.score import class_scores, count_hits, run_counts, weighted_f4
from tomoseek.picks.points import Picks

RADII = {"apo-ferritin": 60.0, "ribosome": 150.0, "thyroglobulin": 130.0}


def crowd(seed: int, runs: int) -> tuple[dict, dict]:
    """References and candidates dense enough to hit, miss and be confused; a class is absent from most runs."""
    generator = np.random.default_rng(seed)
    reference, found = {}, {}
    for run in map(str, range(runs)):
        counts = {"apo-ferritin": 12, "ribosome": 8, "thyroglobulin": 3 if run == "0" else 0}
        reference[run] = {name: generator.uniform(0, 700, (n, 3)) for name, n in counts.items()}
        found[run] = {
            name: np.concatenate([points + generator.normal(0, 25, points.shape), generator.uniform(0, 700, (n, 3))])
            for (name, points), n in zip(reference[run].items(), (6, 4, 0), strict=True)
        }
    return reference, found


def test_intervals_equal_those_of_counting_every_draw_of_runs_anew():
    reference, found = crowd(0, runs=4)
    weights = {"apo-ferritin": 1.0, "ribosome": 0.5, "thyroglobulin": 2.0}
    num_draws = 60
    rows = []
    for times in draw_runs(4, num_draws):
        again = {f"{run}-{k}": run for run, count in zip(reference, times, strict=True) for k in range(count)}
        drawn = {key: reference[run] for key, run in again.items()}
        scores = class_scores(drawn, {key: found[run] for key, run in again.items()}, RADII)
        row = {"total": weighted_f4(scores, weights)}
        for name, score in scores.items():
            row[name, "f4"] = score["f4"]
            row[name, "precision"] = score["precision"] if score["tp"] + score["fp"] else np.nan
            row[name, "recall"] = score["recall"] if score["tp"] + score["fn"] else np.nan
        rows.append(row)
    expected = {key: np.nanpercentile([row[key] for row in rows], [2.5, 97.5]) for key in rows[0]}
    assert any(np.isnan(row["thyroglobulin", "recall"]) for row in rows)

    intervals = bootstrap(run_counts(reference, found, RADII), weights, num_draws)
    assert intervals.weighted_f4 == pytest.approx(expected["total"])
    for name in RADII:
        assert intervals.f4[name] == pytest.approx(expected[name, "f4"])
        assert intervals.precision[name] == pytest.approx(expected[name, "precision"])
        assert intervals.recall[name] == pytest.approx(expected[name, "recall"])


def test_runs_that_are_all_alike_leave_no_doubt_and_runs_that_differ_do():
    alike = run_counts(*(dict.fromkeys("abc", side["1"]) for side in crowd(1, runs=2)), RADII)
    low, high = bootstrap(alike, dict.fromkeys(RADII, 1.0), 100).recall["ribosome"]
    assert low == high
    low, high = bootstrap(run_counts(*crowd(1, runs=6), RADII), dict.fromkeys(RADII, 1.0), 100).recall["ribosome"]
    assert low < high


def test_a_single_run_or_no_draws_give_no_interval_and_few_runs_a_warning():
    counts = run_counts(*crowd(2, runs=1), RADII)
    assert bootstrap(counts, dict.fromkeys(RADII, 1.0), 100) is None
    assert bootstrap(run_counts(*crowd(2, runs=3), RADII), dict.fromkeys(RADII, 1.0), 0) is None
    assert "single run" in caveat(1, 100) and "bootstrap=0" in caveat(5, 0) and "too narrow" in caveat(3, 100)
    assert caveat(5, 100) is None


def as_picks(found: dict) -> dict:
    return {run: {name: Picks(points) for name, points in by_class.items()} for run, by_class in found.items()}


@pytest.mark.parametrize("seed", range(4))
def test_confusion_agrees_with_looking_at_every_pair(seed: int):
    reference, found = crowd(seed, runs=3)
    names = list(RADII)
    on, missed = np.zeros((3, 4), int), np.zeros((3, 4), int)
    for run in reference:
        for row, name in enumerate(names):
            for point in found[run][name]:
                part = {
                    other: np.linalg.norm(reference[run][other] - point, axis=1).min(initial=np.inf) / (radius / 2)
                    for other, radius in RADII.items()
                }
                best = name if part[name] <= 1 else min(part, key=part.get)
                on[row, names.index(best) if part[best] <= 1 else 3] += 1
            for point in reference[run][name]:
                near = {o: np.linalg.norm(found[run][o] - point, axis=1).min(initial=np.inf) for o in names}
                if near[name] > RADII[name] / 2:
                    best = min(near, key=near.get)
                    missed[row, names.index(best) if near[best] <= RADII[name] / 2 else 3] += 1
    confusion = confuse(reference, as_picks(found), RADII)
    assert confusion.picks.tolist() == on.tolist() and confusion.missed.tolist() == missed.tolist()
    assert confusion.any
    assert np.trace(confusion.missed) == 0
    counts = [sum(count_hits(reference[run][n], found[run][n], r).fn for run in reference) for n, r in RADII.items()]
    assert confusion.missed.sum(axis=1).tolist() == counts


def test_a_pick_belongs_to_its_own_class_before_a_nearer_one_and_others_count_by_their_own_radius():
    nothing = np.zeros((0, 3))
    reference = {"a": {"apo-ferritin": np.array([[0.0, 0, 0]]), "ribosome": np.array([[20.0, 0, 0]])}}
    radii = {"apo-ferritin": 60.0, "ribosome": 150.0}
    picks = {"a": {"apo-ferritin": Picks([[20.0, 0, 0], [95.0, 0, 0], [95.1, 0, 0]]), "ribosome": Picks(nothing)}}
    confusion = confuse(reference, picks, radii)
    assert confusion.picks.tolist() == [[1, 1, 1], [0, 0, 0]]
    assert confusion.missed.tolist() == [[0, 0, 0], [1, 0, 0]]


def test_picks_that_are_all_right_or_on_nothing_are_no_confusion():
    reference = {"a": {"ribosome": np.array([[0.0, 0, 0]]), "apo-ferritin": np.zeros((0, 3))}}
    picks = {"a": {"ribosome": Picks([[1.0, 0, 0], [900.0, 0, 0]]), "apo-ferritin": Picks(np.zeros((0, 3)))}}
    assert not confuse(reference, picks, {"ribosome": 150.0, "apo-ferritin": 60.0}).any


def test_reliability_bins_by_hand_and_as_scikit_learn_has_them():
    bins = reliability(np.array([1.0, 0.9, 0.15, 0.11]), np.array([True, False, False, True]))
    assert bins.count.tolist() == [2, 2]
    assert bins.mean_score == pytest.approx([0.13, 0.95]) and bins.share_right == pytest.approx([0.5, 0.5])
    assert calibration_error(bins) == pytest.approx((0.37 + 0.45) / 2)

    generator = np.random.default_rng(0)
    scores = generator.random(2000)
    right = generator.random(2000) < scores**2
    bins = reliability(scores, right)
    share, mean = calibration_curve(right, scores, n_bins=10)
    assert bins.share_right == pytest.approx(share) and bins.mean_score == pytest.approx(mean)


def test_probabilities_have_a_small_calibration_error_and_boasts_a_large_one():
    generator = np.random.default_rng(1)
    scores = generator.random(20_000)
    right = generator.random(20_000) < scores
    assert calibration_error(reliability(scores, right)) < 0.02
    # sqrt(p) boasts by the mean of sqrt(p) - p, which is 1/6
    assert calibration_error(reliability(np.sqrt(scores), right)) == pytest.approx(1 / 6, abs=0.01)


def test_scores_that_are_no_probabilities_have_no_calibration_error():
    right = np.array([True, False])
    for scores in ([12.0, 3.0], [0.5, -0.1], [1.0, 1.0]):
        assert reliability(np.array(scores), right) is None
    assert calibration_error(reliability(np.zeros(0), np.zeros(0, bool))) is None
