"""finetune evaluate: intervals, confusion, reliability, and what it prints, writes and draws."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.calibration import calibration_curve

from finetune import evaluate
from finetune.candidates import Candidates, save_candidates
from tomoseek.command_line import compose_settings
from tomoseek.complexes import CHALLENGE, COMPLEXES, class_weight
from tomoseek.errors import InputError
from tomoseek.evaluation.confusion import confuse
from tomoseek.evaluation.intervals import bootstrap, caveat, draw_runs
from tomoseek.evaluation.reliability import calibration_error, reliability
from tomoseek.evaluation.score import class_scores, count_hits, run_counts, weighted_f4
from tomoseek.evaluation.tables import score_table
from tomoseek.picks.copick_picks import write_picks
from tomoseek.picks.points import Picks
from tomoseek.tomograms.copick_tomograms import add_tomogram
from tomoseek.tomograms.project import create_project

RADII = {"apo-ferritin": 60.0, "ribosome": 150.0, "thyroglobulin": 130.0}
SIZE, SPACING = (16, 64, 64), 10.0


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


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of noise; apo-ferritin found but for one, which was picked as ribosome; a false ribosome; no VLP."""
    folder = tmp_path_factory.mktemp("project")
    names = ("apo-ferritin", "ribosome", "virus-like-particle")
    root = create_project(folder, [COMPLEXES[name] for name in names])
    truth = np.array([[100.0, 100, 80], [300, 100, 80], [500, 300, 80]])
    for number, run in enumerate(("a", "b")):
        volume = np.random.default_rng(number).normal(size=SIZE).astype(np.float32)
        add_tomogram(root, run, "wbp", SPACING, volume)
        write_picks(root, run, "apo-ferritin", Picks(truth), "curator", "0")
        write_picks(root, run, "ribosome", Picks([[300.0, 500, 80]]), "curator", "0")
        right = Picks(truth[:2] + np.array([[3.0, 0, 0], [0, 0, 5]]), [0.9, 0.7])
        write_picks(root, run, "apo-ferritin", right, "tomoseek", "finetune")
        false = [truth[2] + [10.0, 0, 0], [300.0, 500, 80], [100.0, 500, 80]][: 3 - number]
        write_picks(root, run, "ribosome", Picks(false, [0.8, 0.75, 0.6][: 3 - number]), "tomoseek", "finetune")
        write_picks(root, run, "virus-like-particle", Picks(np.zeros((0, 3))), "tomoseek", "finetune")
    return folder / "copick.json"


def evaluated(project: Path, out_dir: Path, *words: str) -> dict:
    places = (f"data.project={project}", "checkpoint=null", f"candidates={out_dir}", f"out_dir={out_dir}")
    evaluate.run(compose_settings("finetune_evaluate", evaluate.EvaluateConfig, (*places, *words)))
    return json.loads((out_dir / "evaluation.json").read_text())


def test_the_record_holds_scores_distances_intervals_and_confusion(project: Path, tmp_path: Path, capsys):
    result = evaluated(project, tmp_path, "figures=false")
    apo = result["classes"]["apo-ferritin"]
    assert (apo["tp"], apo["fp"], apo["fn"], apo["f1"]) == (4, 0, 2, pytest.approx(0.8))
    assert apo["mean_localisation_error_angstrom"] == apo["median_localisation_error_angstrom"] == pytest.approx(4.0)
    assert apo["f4_interval"] == pytest.approx([apo["f4"]] * 2)  # both runs hold the same
    low, high = result["classes"]["ribosome"]["precision_interval"]
    assert low == pytest.approx(1 / 3) and high == pytest.approx(1 / 2)
    assert result["weighted_f4_interval"][0] <= result["weighted_f4"] <= result["weighted_f4_interval"][1]
    assert result["confusion"]["columns"] == ["apo-ferritin", "ribosome", "nothing"]
    assert result["confusion"]["picks_on_reference_of"] == [[4, 0, 0], [2, 2, 1]]
    assert result["confusion"]["missed_references_picked_as"] == [[0, 2, 0], [0, 0, 0]]
    printed = capsys.readouterr().out
    assert "too narrow" in printed and "apo-ferritin 2" in printed and not (tmp_path / "figures").exists()


def test_a_single_run_has_null_intervals_and_says_why(project: Path, tmp_path: Path, capsys):
    result = evaluated(project, tmp_path, "data.runs=[a]", "figures=false")
    assert result["weighted_f4_interval"] is None and result["classes"]["ribosome"]["recall_interval"] is None
    assert "single run" in result["bootstrap"]["caveat"] and "single run" in capsys.readouterr().out


def test_a_class_without_picks_or_references_does_not_stop_it(project: Path, tmp_path: Path):
    result = evaluated(project, tmp_path, "classes=[apo-ferritin,virus-like-particle]")
    row = result["classes"]["virus-like-particle"]
    assert row["f4"] is row["f4_interval"] is row["median_localisation_error_angstrom"] is None
    assert result["weighted_f4"] == pytest.approx(result["classes"]["apo-ferritin"]["f4"])


def test_the_thresholds_on_record_are_those_predict_used(project: Path, tmp_path: Path):
    found = {"apo-ferritin": Picks([[100.0, 100, 80], [500, 300, 80]], [0.9, 0.2]), "ribosome": Picks([[9.0, 9, 9]])}
    both = Candidates({"a": found, "b": found}, {"apo-ferritin": 0.66}, [])
    save_candidates(tmp_path, both, str(project), "tomoseek", "finetune")
    result = evaluated(project, tmp_path, "figures=false", "classes=[apo-ferritin]")
    assert result["settings"]["thresholds"] == {"apo-ferritin": 0.66}
    row = result["classes"]["apo-ferritin"]
    assert row["expected_calibration_error"] == pytest.approx((0.1 + 0.8) / 2)  # right at 0.9, right at 0.2
    assert row["expected_calibration_error_of_picks"] is None  # all of the same score


def test_every_picture_is_drawn_once_and_shows_something(project: Path, tmp_path: Path):
    evaluated(project, tmp_path)
    pictures = {path.stem: np.array(Image.open(path).convert("RGB")) for path in (tmp_path / "figures").glob("*.png")}
    assert set(pictures) == {"precision_recall", "scores", "reliability", "confusion", "slice_a", "slice_b"}
    for pixels in pictures.values():
        assert min(pixels.shape[:2]) > 300 and (pixels != 255).any(axis=-1).mean() > 0.02
    # Hits blue, misses yellow, false alarms vermilion.
    for color in ((0x56, 0xB4, 0xE9), (0xF0, 0xE4, 0x42), (0xD5, 0x5E, 0x00)):
        assert (np.abs(pictures["slice_a"].astype(int) - color).sum(axis=-1) < 12).sum() > 50


def test_scores_beyond_one_are_drawn_without_a_reliability_plot(project: Path, tmp_path: Path):
    found = {"apo-ferritin": Picks([[100.0, 100, 80], [500, 300, 80]], [7.5, -2.0])}
    save_candidates(tmp_path, Candidates({"a": found, "b": found}, {}, []), str(project), "tomoseek", "finetune")
    result = evaluated(project, tmp_path, "classes=[apo-ferritin]")
    assert result["reliability"]["apo-ferritin"] is None
    assert not (tmp_path / "figures" / "reliability.png").exists() and (tmp_path / "figures" / "scores.png").exists()


def test_the_table_of_the_challenge_fits_a_terminal_of_112_columns():
    row = {"f4": 0.9, "precision": 0.9, "recall": 0.9, "f1": 0.9, "average_precision": 0.9, "tp": 1234, "fp": 1234}
    row |= {f"{key}_interval": [0.1, 0.9] for key in ("f4", "precision", "recall")} | {"fn": 1234}
    row |= {f"{key}_localisation_error_angstrom": 12.3 for key in ("median", "mean")}
    classes = {name: row | {"weight": class_weight(name)} for name in CHALLENGE}
    table = score_table({"classes": classes, "weighted_f4": 0.9, "weighted_f4_interval": [0.8, 0.95], "runs": ["a"]})
    assert max(map(len, table.splitlines())) <= 112
    assert len({len(line) for line in table.splitlines()[:-1]}) == 1


def test_a_negative_number_of_draws_is_refused(project: Path, tmp_path: Path):
    with pytest.raises(InputError, match="bootstrap: expected a number of draws"):
        evaluated(project, tmp_path, "bootstrap=-1")
