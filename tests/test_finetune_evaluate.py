"""finetune evaluate: whose picks it scores on which runs, and what it prints, writes and draws."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from finetune import evaluate
from finetune.candidates import Candidates, save_candidates
from tomoseek.command_line import compose_settings
from tomoseek.complexes import CHALLENGE, COMPLEXES, class_weight
from tomoseek.errors import InputError
from tomoseek.evaluation.tables import score_table
from tomoseek.picks.copick_picks import write_picks
from tomoseek.picks.points import Picks
from tomoseek.tomograms.copick_tomograms import add_tomogram
from tomoseek.tomograms.project import create_project, open_project

SIZE, SPACING = (16, 64, 64), 10.0


@pytest.fixture
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
    places = (f"data.project={project}", f"candidates={out_dir}", f"out_dir={out_dir}")
    evaluate.run(compose_settings("finetune_evaluate", evaluate.EvaluateConfig, (*places, *words)))
    return json.loads((out_dir / "evaluation.json").read_text())


def test_the_record_holds_scores_distances_intervals_and_confusion(project: Path, tmp_path: Path, capsys):
    result = evaluated(project, tmp_path, "figures=false")
    apo = result["classes"]["apo-ferritin"]
    assert (apo["tp"], apo["fp"], apo["fn"], apo["f1"]) == (4, 0, 2, pytest.approx(0.8))
    assert apo["best_f1"] == pytest.approx(0.8) and apo["average_precision"] == pytest.approx(2 / 3)
    assert result["classes"]["ribosome"]["best_f1"] == pytest.approx(2 * 2 / (4 + 2))  # at 0.75, two of four are right
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
    row = dict.fromkeys(("f4", "precision", "recall", "f1", "average_precision", "best_f1"), 0.9)
    row |= {"tp": 1234, "fp": 1234}
    row |= {f"{key}_interval": [0.1, 0.9] for key in ("f4", "precision", "recall")} | {"fn": 1234}
    row |= {f"{key}_localisation_error_angstrom": 12.3 for key in ("median", "mean")}
    classes = {name: row | {"weight": class_weight(name)} for name in CHALLENGE}
    table = score_table({"classes": classes, "weighted_f4": 0.9, "weighted_f4_interval": [0.8, 0.95], "runs": ["a"]})
    assert max(map(len, table.splitlines())) <= 112
    assert len({len(line) for line in table.splitlines()[:-1]}) == 1


def write_search(project: Path, runs: tuple[str, ...], user_id: str = "tomoseek") -> None:
    """Picks of ribosome alone, as a search leaves them: right, wrong, and nothing in the last run."""
    found = Picks([[303.0, 500, 80], [100.0, 100, 80]], [0.9, 0.4])
    for run in runs:
        write_picks(open_project(project), run, "ribosome", found, user_id, "search")


def test_picks_of_a_search_are_scored_without_checkpoint_or_candidates(project: Path, tmp_path: Path, capsys):
    write_search(project, ("a", "b"))
    words = ("picks.session_id=search", "exclude_runs=[a]", "figures=false")
    result = evaluated(project, tmp_path, *words)
    assert result["runs"] == ["b"] and list(result["classes"]) == ["ribosome"]
    row = result["classes"]["ribosome"]
    assert (row["tp"], row["fp"], row["fn"]) == (1, 1, 0)
    assert row["average_precision"] == 1.0 and row["best_f1"] == 1.0 and row["f1"] == pytest.approx(2 / 3)
    assert result["settings"]["runs_seen_in_training"] is None and result["settings"]["excluded_runs"] == ["a"]
    assert "exclude_runs" in capsys.readouterr().out
    assert evaluated(project, tmp_path, *words, "classes=[ribosome]")["classes"]["ribosome"] == row


def test_the_reference_is_never_that_of_the_finder(project: Path, tmp_path: Path):
    write_search(project, ("a", "b"), "me")
    words = ("picks.user_id=me", "picks.session_id=search", "figures=false")
    row = evaluated(project, tmp_path, *words)["classes"]["ribosome"]
    assert (row["tp"], row["fp"], row["fn"]) == (2, 2, 0)  # curator's, and neither mine nor tomoseek's
    for whose in ("reference.user_id=me", "reference.user_id=me reference.session_id=search"):
        with pytest.raises(InputError, match="other picks than those to score, found me's"):
            evaluated(project, tmp_path, *words, *whose.split())
    with pytest.raises(InputError, match="expected a user_id and a session_id, found me and None"):
        evaluated(project, tmp_path, "picks.user_id=me", "picks.session_id=null")


def test_what_the_finder_learned_from_stands_in_candidates_and_is_left_out(project: Path, tmp_path: Path, capsys):
    found = {"apo-ferritin": Picks([[100.0, 100, 80]], [0.9]), "ribosome": Picks(np.zeros((0, 3)))}
    seen = [{"run": "a", "project": str(project), "labels": {}}]
    save_candidates(tmp_path, Candidates(dict.fromkeys("ab", found), {}, seen), str(project), "tomoseek", "finetune")
    assert evaluated(project, tmp_path, "figures=false")["runs"] == ["b"]
    assert "left out, seen in training or threshold fitting: a" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"found a .*allow_training_runs"):
        evaluated(project, tmp_path, "data.runs=[a,b]")
    result = evaluated(project, tmp_path, "figures=false", "data.runs=[a,b]", "allow_training_runs=true")
    assert result["settings"]["runs_seen_in_training"] == ["a"]


def test_a_run_known_to_hold_no_particle_counts_and_one_without_reference_does_not(tmp_path: Path, capsys):
    root = create_project(tmp_path, [COMPLEXES["ribosome"]])
    for run in "abc":
        (tmp_path / "static" / "ExperimentRuns" / run).mkdir()
    write_picks(root, "a", "ribosome", Picks([[300.0, 500, 80]]), "curator", "0")
    write_picks(root, "b", "ribosome", Picks(np.zeros((0, 3))), "curator", "0")
    write_search(tmp_path, ("a", "b", "c"))
    words = ("picks.session_id=search", "figures=false")
    result = evaluated(tmp_path, tmp_path, *words)
    assert result["runs"] == ["a", "b"] and result["classes"]["ribosome"]["fp"] == 3
    assert "left out, no reference picks: c" in capsys.readouterr().out
    with pytest.raises(InputError, match="run c: expected reference picks of ribosome, found none"):
        evaluated(tmp_path, tmp_path, *words, "data.runs=[a,c]")
    with pytest.raises(InputError, match="expected reference picks of ribosome in runs b, found none"):
        evaluated(tmp_path, tmp_path, *words, "exclude_runs=[a]", "data.runs=[a,b]")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("exclude_runs=[nowhere]", "exclude_runs: expected runs among a, b, found nowhere"),
        ("data.runs=[nowhere]", "data.runs: expected runs among a, b, found nowhere"),
        ("exclude_runs=[a,b]", "at least one run to score"),
        ("picks.session_id=nobody", "expected picks of tomoseek/nobody in runs a, b, found none"),
        ("picks.session_id=nobody classes=[ribosome]", "run a: expected picks of tomoseek/nobody.*exclude_runs"),
        ("reference.user_id=nobody classes=[ribosome]", "expected reference picks of ribosome in runs a, b"),
    ],
)
def test_settings_that_leave_nothing_to_score_say_what_to_do(project: Path, tmp_path: Path, words: str, message: str):
    with pytest.raises(InputError, match=message):
        evaluated(project, tmp_path, *words.split())


def test_a_negative_number_of_draws_is_refused(project: Path, tmp_path: Path):
    with pytest.raises(InputError, match="bootstrap: expected a number of draws"):
        evaluated(project, tmp_path, "bootstrap=-1")
