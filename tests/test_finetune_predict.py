"""finetune predict: scores are probabilities, a site is one particle, several checkpoints act as one."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit

from finetune import evaluate, predict
from finetune.calibration import Calibration, calibrate, fit_calibration, log_odds
from finetune.checkpoint import Description, build_picker, load_description, save_checkpoint
from finetune.ensemble import Ensemble, load_ensemble
from finetune.sources import DESCRIPTION
from finetune.thresholds import choose_threshold
from finetune.validate import choose
from tomoseek.command_line import compose_settings
from tomoseek.complexes import Complex
from tomoseek.errors import IncompleteError, InputError
from tomoseek.evaluation.ranking import rank
from tomoseek.messages import Notice
from tomoseek.network.encoder import EncoderConfig
from tomoseek.picks.copick_picks import read_picks, write_picks
from tomoseek.picks.points import Picks
from tomoseek.picks.star_read import read_star
from tomoseek.tomograms.copick_tomograms import add_tomogram, find_tomograms
from tomoseek.tomograms.project import create_project, open_project

SAME = Calibration(slope=1.0, offset=0.0)  # leaves heatmap values as they are
RADII = {"ball": 60.0, "shell": 80.0}
SIZE = (16, 32, 40)
TINY = {"width": 24, "depth": 1, "num_heads": 2, "conv_channels": [8, 16, 32], "fused_channels": 16}


def draws(seed: int, num: int, slope: float, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Heatmap values, and whether they are right with probability expit(slope x logit + offset)."""
    generator = np.random.default_rng(seed)
    odds = generator.normal(-1, 2, num)
    return expit(odds), generator.random(num) < expit(slope * odds + offset)


def test_fit_finds_the_numbers_that_made_the_data():
    fits = fit_calibration({"ball": draws(0, 8000, 1.5, -2.0), "shell": draws(1, 8000, 0.7, 1.0)})
    assert (fits["ball"].slope, fits["ball"].offset) == pytest.approx((1.5, -2.0), abs=0.15)
    assert (fits["shell"].slope, fits["shell"].offset) == pytest.approx((0.7, 1.0), abs=0.15)


def test_of_candidates_at_a_probability_that_share_is_right():
    calibration = fit_calibration({"ball": draws(0, 4000, 1.5, -2.0)})["ball"]
    values, right = draws(2, 20000, 1.5, -2.0)
    probability = calibration(values)
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        inside = (probability >= low) & (probability < low + 0.2)
        assert right[inside].mean() == pytest.approx(probability[inside].mean(), abs=0.1)


def test_a_class_with_few_candidates_takes_after_the_others_and_one_with_none_is_like_them():
    many = {"ball": draws(0, 1000, 1.5, -2.0), "shell": draws(1, 1000, 1.5, -2.0)}
    few = (np.array([0.9, 0.2]), np.array([False, False]))
    none = (np.zeros(0), np.zeros(0, dtype=bool))
    fits = fit_calibration({**many, "few": few, "none": none})
    assert fits["none"].slope == pytest.approx(fits["ball"].slope, abs=0.3)
    assert fits["none"].offset == pytest.approx(fits["ball"].offset, abs=0.3)
    assert fits["none"].offset - 1 < fits["few"].offset < fits["none"].offset
    assert fit_calibration({"none": none})["none"] == SAME


@pytest.mark.parametrize("right", [[True, True, False, False], [True] * 4, [False] * 4])
def test_separable_candidates_give_finite_numbers_and_keep_their_order(right):
    fit = fit_calibration({"ball": (np.array([0.99, 0.98, 0.03, 0.02]), np.array(right))})["ball"]
    assert 0 < fit.slope < 10 and abs(fit.offset) < 10
    steps = np.array([0.01, 0.5, 0.999, 1 - 2**-23, 1 - 2**-24], dtype=np.float32)
    assert np.all(np.diff(fit(steps)) > 0)


def test_thresholds_told_as_probabilities_keep_the_same_picks():
    generator = np.random.default_rng(0)
    places = np.array([[200.0 * n, 0, 0] for n in range(60)])
    values = np.where(np.arange(60) < 20, generator.beta(6, 3, 60), generator.beta(3, 6, 60))
    reference, found = {"ball": {"a": places[:20]}}, {"a": {"ball": Picks(places, values)}}
    chosen = choose(reference, found, {"ball": 60.0})
    heatmap_value = choose_threshold(reference["ball"], {"a": found["a"]["ball"]}, 60.0)
    scores = calibrate(found["a"], chosen.calibration)["ball"].scores
    np.testing.assert_array_equal(scores >= chosen.thresholds["ball"], values >= heatmap_value)
    assert abs(chosen.thresholds["ball"] - heatmap_value) > 0.01
    assert 0 < (values >= heatmap_value).sum() < 60


def test_a_second_candidate_on_a_particle_is_not_right():
    found = Picks(np.array([[10.0, 0, 0], [0.0, 0, 0], [400.0, 0, 0]]), np.array([0.5, 0.9, 0.7]))
    ranking = rank({"a": np.zeros((1, 3))}, {"a": found}, 60.0)
    assert ranking.scores.tolist() == [0.9, 0.7, 0.5] and ranking.right.tolist() == [True, False, False]


def checkpoint(folder: Path, seed: int, seen: list[str], project: Path, **changes) -> Path:
    """Write a picker of random weights that says it saw some runs of a project."""
    torch.manual_seed(seed)
    model = EncoderConfig(**TINY)
    picker = build_picker(model, len(RADII), [16, 8])
    torch.nn.init.normal_(picker.decoder.head.weight, std=1.0)  # so that heatmaps have peaks
    description = Description(
        radii=RADII, thresholds={"ball": 0.2, "shell": 0.3}, threshold_runs=[],
        training_runs=[{"run": run, "project": str(project), "labels": {}} for run in seen],
        voxel_spacing=10.0, model=TINY, decoder_channels=[16, 8], provenance={},
        calibration={"ball": Calibration(1.2, -1.0 - seed), "shell": Calibration(0.8, 0.5)},
    )  # fmt: skip
    save_checkpoint(folder, picker, replace(description, **changes))
    return folder


def make_noise(folder: Path) -> Path:
    """Three small tomograms of noise; each has a label."""
    root = create_project(folder, [Complex(name=n, radius_angstrom=r) for n, r in RADII.items()])
    for number, run in enumerate(("a", "b", "c")):
        add_tomogram(root, run, "wbp", 10.0, np.random.default_rng(number).normal(size=SIZE).astype(np.float32))
        write_picks(root, run, "ball", Picks(np.array([[100.0, 100.0, 50.0 + number]])), "curator", "0")
    return folder / "copick.json"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_noise(tmp_path_factory.mktemp("project"))


def predict_settings(project: Path, out_dir: Path, *words: str) -> predict.PredictConfig:
    common = (
        f"data.project={project}",
        f"out_dir={out_dir}",
        "device=cpu",
        "detect.tile=[16,32,40]",
        "detect.overlap=8",
    )
    return compose_settings("finetune_predict", predict.PredictConfig, (*common, *words))


def read_candidates(out_dir: Path, run: str, name: str) -> np.ndarray:
    return np.array(json.loads((out_dir / "candidates.json").read_text())["candidates"][run][name])


def test_calibration_changes_the_scores_and_neither_places_nor_their_order(project, tmp_path):
    folder = checkpoint(tmp_path / "new", 0, [], project)
    plain = checkpoint(tmp_path / "plain", 0, [], project, calibration=dict.fromkeys(RADII, SAME))
    for each in (folder, plain):
        predict.run(predict_settings(project, each, f"checkpoint={each}", "data.runs=[a]"))
    for name, fit in load_description(folder).calibration.items():
        ours, heatmap = read_candidates(folder, "a", name), read_candidates(plain, "a", name)
        assert len(ours) > 3
        np.testing.assert_array_equal(ours[:, :3], heatmap[:, :3])
        np.testing.assert_allclose(ours[:, 3], fit(heatmap[:, 3]), atol=1e-6)
        stored = read_picks(open_project(project), "a", name, "tomoseek", "finetune")
        assert 0 < len(stored) <= len(heatmap)


def test_a_checkpoint_without_calibration_is_refused_on_one_line(project, tmp_path):
    folder = checkpoint(tmp_path, 0, [], project)
    content = json.loads((folder / DESCRIPTION).read_text())
    del content["calibration"]
    (folder / DESCRIPTION).write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"of another version \('calibration'\); train again"):
        predict.run(predict_settings(project, tmp_path, f"checkpoint={folder}", "data.runs=[a]"))


def test_a_threshold_below_the_least_candidate_is_refused_in_the_unit_of_scores(project, tmp_path):
    folder = checkpoint(tmp_path, 0, [], project)
    least = Calibration(1.2, -1.0)(0.01)
    assert least < 0.002
    words = (f"checkpoint={folder}", "data.runs=[a]")
    predict.run(predict_settings(project, tmp_path, *words, f"thresholds={{ball: {least + 1e-5}}}"))
    with pytest.raises(InputError, match=r"thresholds.ball: expected between 0.0015, the score at detect.min_score"):
        predict.run(predict_settings(project, tmp_path, *words, "thresholds={ball: 0.001}"))


def test_losers_of_a_place_stay_candidates(project, tmp_path):
    folder = checkpoint(tmp_path, 0, [], project)
    words = (f"checkpoint={folder}", "data.runs=[a]", "thresholds={ball: 0.01, shell: 0.05}")
    counts, candidates = [], []
    for switch in ("false", "true"):
        predict.run(predict_settings(project, tmp_path, *words, f"one_per_site={switch}"))
        counts.append(sum(len(read_picks(open_project(project), "a", n, "tomoseek", "finetune")) for n in RADII))
        candidates.append((tmp_path / "candidates.json").read_text())
    assert 0 < counts[1] < counts[0]
    assert candidates[0] == candidates[1]


def test_members_speak_in_their_own_calibration(project, tmp_path):
    one, other = (checkpoint(tmp_path / str(seed), seed, [], project) for seed in (0, 1))
    both, description = load_ensemble([one, other], torch.device("cpu"))
    alone = [load_ensemble([folder], torch.device("cpu"))[0] for folder in (one, other)]
    volume = torch.randn(1, 1, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        joint, parts = both(volume)[0, 0].numpy(), [picker(volume)[0, 0].numpy() for picker in alone]
    fits = [load_description(folder).calibration["ball"] for folder in (one, other)]
    mean = np.mean([fit.slope * part + fit.offset for fit, part in zip(fits, parts, strict=True)], axis=0)
    np.testing.assert_allclose(description.calibration["ball"](expit(joint)), expit(mean), atol=1e-5)
    assert description.thresholds == load_description(one).thresholds  # the mean of two that are equal


def test_one_checkpoint_twice_is_that_checkpoint(project, tmp_path):
    folder = checkpoint(tmp_path, 0, [], project)
    picker, description = load_ensemble([folder], torch.device("cpu"))
    twice = Ensemble([picker, picker], [list(description.calibration.values())] * 2)
    volume = torch.randn(1, 1, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(twice(volume), picker(volume))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"radii": {"ball": 60.0, "cube": 80.0}}, r"ball \(60 Å\), shell \(80 Å\), found ball \(60 Å\), cube"),
        ({"radii": {"shell": 80.0, "ball": 60.0}}, r"in its order: .*found shell"),
        ({"voxel_spacing": 13.5}, r"the 10 Å per voxel .*found 13.5 Å"),
    ],
)
def test_members_that_do_not_fit_are_refused(project, tmp_path, changes, message):
    one = checkpoint(tmp_path / "one", 0, [], project)
    other = checkpoint(tmp_path / "other", 1, [], project, **changes)
    with pytest.raises(InputError, match=message):
        predict.run(predict_settings(project, tmp_path, f"checkpoint={one}", f"ensemble=[{other}]"))
    with pytest.raises(InputError, match=r"other than .*, each once"):
        predict_settings(project, tmp_path, f"checkpoint={one}", f"ensemble=[{one}]")


def test_evaluate_refuses_what_any_member_saw(project, tmp_path):
    one = checkpoint(tmp_path / "one", 0, ["a"], project)
    other = checkpoint(tmp_path / "other", 1, ["b"], project)
    predict.run(predict_settings(project, one, f"checkpoint={one}", f"ensemble=[{other}]"))
    words = (f"data.project={project}", f"checkpoint={one}", f"candidates={one}", f"out_dir={one}")
    with pytest.raises(InputError, match="found a, b "):
        evaluate.run(compose_settings("finetune_evaluate", evaluate.EvaluateConfig, (*words, "data.runs=[a,b,c]")))
    evaluate.run(compose_settings("finetune_evaluate", evaluate.EvaluateConfig, words))
    assert json.loads((one / "evaluation.json").read_text())["runs"] == ["c"]


def test_star_files_for_relion_4_and_3_hold_the_picks_and_4_needs_a_pixel_size(project, tmp_path):
    folder = checkpoint(tmp_path, 0, [], project)
    words = (f"checkpoint={folder}", "data.runs=[a]", "relion=4")
    with pytest.raises(InputError, match=r"unbinned tilt series, expected their size in Å, found None"):
        predict_settings(project, tmp_path, *words)
    config = predict_settings(project, tmp_path, *words, "tilt_series_pixel_size=1.54")
    predict.run(config)
    tomograms = {tomogram.run: tomogram for tomogram in find_tomograms(config.data)}
    back = read_star(tmp_path / "ball.star", tomograms)["a"]
    stored = read_picks(open_project(project), "a", "ball", "tomoseek", "finetune")
    np.testing.assert_allclose(back.points_xyz, stored.points_xyz, atol=1e-2)
    np.testing.assert_allclose(back.scores, stored.scores, rtol=1e-5)
    predict.run(predict_settings(project, tmp_path, *words[:2], "relion=3"))
    assert "a.tomostar" in (tmp_path / "ball.star").read_text()
    back = read_star(tmp_path / "ball.star", tomograms)["a"]
    np.testing.assert_allclose(back.points_xyz, stored.points_xyz, atol=1e-2)


def test_scores_of_a_saturated_heatmap_are_finite():
    found = calibrate({"ball": Picks(np.zeros((2, 3)), np.array([0.0, 1.0]))}, {"ball": Calibration(2.0, 1.0)})
    assert np.all(np.isfinite(log_odds(found["ball"].scores)))


def test_a_bad_tomogram_is_listed_and_the_others_are_searched(project, tmp_path):
    folder = checkpoint(tmp_path / "one", 0, [], project)
    copy = tmp_path / "project"
    shutil.copytree(project.parent if project.is_file() else project, copy)
    config = json.loads((copy / "copick.json").read_text())
    config |= {f"{part}_root": f"local://{copy / part}" for part in ("static", "overlay")}
    (copy / "copick.json").write_text(json.dumps(config))
    add_tomogram(open_project(copy), "b", "wbp", 10.0, np.zeros(SIZE, dtype=np.float32))
    (copy / "static" / "ExperimentRuns" / "empty").mkdir()
    settings = predict_settings(copy, tmp_path, f"checkpoint={folder}")
    with pytest.warns(Notice), pytest.raises(IncompleteError, match=r"^2 tomograms .*\n  empty: .*\n  b: "):
        predict.run(settings)
    assert {"a", "c"} == set(json.loads((tmp_path / "candidates.json").read_text())["candidates"])
    with pytest.warns(Notice), pytest.raises(InputError, match=r"2 tomograms could not be read, and there is no other"):
        predict.run(predict_settings(copy, tmp_path, f"checkpoint={folder}", "data.runs=[b,empty]"))
    words = (f"data.project={copy}", f"candidates={tmp_path}", f"out_dir={tmp_path}", "exclude_runs=[b,empty]")
    next(copy.glob("static/ExperimentRuns/c/*/wbp.zarr/0/.zarray")).write_text("{")
    with pytest.warns(Notice), pytest.raises(IncompleteError, match=r"^1 tomogram .*\n  c: "):
        evaluate.run(compose_settings("finetune_evaluate", evaluate.EvaluateConfig, words))
    assert json.loads((tmp_path / "evaluation.json").read_text())["runs"] == ["a", "c"]


def test_thresholds_of_balance_are_the_cleaner_ones_and_have_to_be_there(project, tmp_path):
    balanced = checkpoint(tmp_path / "balanced", 0, [], project, balanced={"ball": 0.6, "shell": 0.7})
    predict.run(predict_settings(project, balanced, f"checkpoint={balanced}", "data.runs=[a]", "thresholds=balance"))
    stored = [read_picks(open_project(project), "a", name, "tomoseek", "finetune") for name in RADII]
    assert all((each.scores >= least).all() for each, least in zip(stored, (0.6, 0.7), strict=True))
    both = load_ensemble([balanced, checkpoint(tmp_path / "other", 1, [], project)], torch.device("cpu"))[1]
    assert both.balanced == {"ball": 0.6, "shell": 0.7}
    plain = checkpoint(tmp_path / "plain", 0, [], project)
    for word in ("thresholds=balance", "thresholds=0.5"):
        with pytest.raises(InputError, match="thresholds: expected a mapping"):
            predict.run(predict_settings(project, plain, f"checkpoint={plain}", "data.runs=[a]", word))
