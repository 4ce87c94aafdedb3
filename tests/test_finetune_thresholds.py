"""Thresholds are those that carry over to another run; evaluate reads whole curves only from its own candidates."""

import numpy as np

from finetune.candidates import Candidates, load_candidates, save_candidates
from finetune.labels import label_digests
from finetune.thresholds import choose_threshold, f_at
from tomoseek.picks.points import Picks

RADIUS = 50.0


def line_of(num_points: int, offset: float = 0.0) -> np.ndarray:
    """Points 200 Å apart along x."""
    return np.array([[200.0 * n + offset, 0.0, 0.0] for n in range(num_points)]).reshape(-1, 3)


def test_a_clean_gap_puts_the_threshold_in_its_middle():
    candidates = Picks(np.concatenate([line_of(5), line_of(5, 100.0)]), np.repeat([0.9, 0.1], 5))
    threshold = choose_threshold({"a": line_of(5)}, {"a": candidates}, RADIUS)
    assert 0.35 < threshold < 0.65


def test_threshold_stays_away_from_the_score_where_recall_collapses():
    hits = Picks(line_of(8), np.linspace(0.70, 0.72, 8))
    false = Picks(line_of(8, 100.0), np.linspace(0.3, 0.69, 8))
    both = Picks(np.concatenate([hits.points_xyz, false.points_xyz]), np.concatenate([hits.scores, false.scores]))
    reference = {"a": line_of(8)}
    threshold = choose_threshold(reference, {"a": both}, RADIUS)
    assert f_at(reference, {"a": both}, RADIUS, 0.695) > f_at(reference, {"a": both}, RADIUS, threshold)
    assert threshold < 0.65


def test_counts_are_summed_over_runs_before_the_score():
    reference = {"a": line_of(3), "b": line_of(1)}
    candidates = {"a": Picks(line_of(3), np.ones(3)), "b": Picks(line_of(1, 100.0), np.ones(1))}
    # TP 3, FP 1, FN 1: precision = recall = 3/4, whatever beta.
    assert f_at(reference, candidates, RADIUS, 0.5) == 0.75


def test_runs_that_cannot_tell_leave_the_threshold_at_a_half():
    nothing = np.zeros((0, 3))
    assert choose_threshold({"a": nothing}, {"a": Picks(line_of(2), np.ones(2))}, RADIUS) == 0.5
    assert choose_threshold({"a": line_of(2)}, {"a": Picks(nothing, np.zeros(0))}, RADIUS) == 0.5


def test_candidates_come_back_only_to_their_own_project_user_and_session(tmp_path):
    found = {"a": {"ball": Picks(line_of(2), np.array([0.9, 0.2])), "shell": Picks(np.zeros((0, 3)))}}
    save_candidates(tmp_path, Candidates(found, {"ball": 0.5}, []), "p/copick.json", "tomoseek", "finetune")
    back = load_candidates(tmp_path, "p/copick.json", "tomoseek", "finetune")
    assert back is not None
    np.testing.assert_array_equal(back.by_run["a"]["ball"].points_xyz, line_of(2))
    np.testing.assert_array_equal(back.by_run["a"]["ball"].scores, [0.9, 0.2])
    assert len(back.by_run["a"]["shell"]) == 0 and back.thresholds == {"ball": 0.5}
    assert load_candidates(tmp_path, "other.json", "tomoseek", "finetune") is None
    assert load_candidates(tmp_path, "p/copick.json", "tomoseek", "search") is None


def test_probabilities_near_0_and_1_stay_apart_in_the_file_of_candidates(tmp_path):
    scores = np.array([0.999996, 0.999994, 4e-6, 2e-6])
    save_candidates(tmp_path, Candidates({"a": {"ball": Picks(line_of(4), scores)}}, {"ball": 0.5}, []), "p", "u", "s")
    back = load_candidates(tmp_path, "p", "u", "s")
    assert back is not None
    np.testing.assert_array_equal(back.by_run["a"]["ball"].scores, scores)


def test_what_an_ensemble_has_seen_comes_back_only_with_its_own_picks(tmp_path):
    seen = [{"run": "a", "project": "p", "labels": {"ball": "0123"}}]
    save_candidates(tmp_path, Candidates({}, {"ball": 0.5}, seen), "p/copick.json", "tomoseek", "finetune")
    back = load_candidates(tmp_path, "p/copick.json", "tomoseek", "finetune")
    assert back is not None and back.seen_runs == seen
    assert load_candidates(tmp_path, "p/copick.json", "tomoseek", "search") is None
    assert load_candidates(tmp_path / "nowhere", "p/copick.json", "tomoseek", "finetune") is None


def test_labels_are_recognised_in_any_order_and_not_confused():
    points = line_of(4)
    assert label_digests({"ball": points}) == label_digests({"ball": points[::-1], "shell": np.zeros((0, 3))})
    assert label_digests({"ball": points}) != label_digests({"ball": points + 1.0})
