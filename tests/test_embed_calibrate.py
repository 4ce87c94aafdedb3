"""What a search may promise is measured where the truth is known, and travels with the encoder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from embed.calibrate import CalibrateConfig, Trial, best_gain, fit, run
from embed.promise import mixture_probabilities, probabilities
from tomoseek.command_line import compose_settings
from tomoseek.network.search_constants import SearchConstants
from tomoseek.network.sources import find_weights
from tomoseek.network.weights import load_encoder, write_search_constants

SMALL = [
    "specimens.scene=[48,96,96]", "specimens.num_tomograms=2", "specimens.num_classes=2",
    "specimens.particles_per_class=6",
    "specimens.snr.bright=[0.4,0.5]", "~specimens.snr.dim", "num_draws=1", "device=cpu",
]  # fmt: skip


def overconfident(seed: int, num_alike: int) -> Trial:
    """A search in which look-alikes score as true particles do."""
    random = np.random.default_rng(seed)
    scores = np.concatenate(
        [random.normal(0.97, 0.03, 40), random.normal(0.96, 0.03, num_alike), random.normal(0.45, 0.1, 150)]
    )
    order = np.argsort(-scores)
    is_true = np.arange(len(scores)) < 40
    return Trial(scores[order], is_true[order], random.normal(0.97, 0.03, seed % 2 * 5))


def test_probabilities_are_right_as_often_as_they_say_where_look_alikes_made_the_mixture_too_sure() -> None:
    constants = fit([overconfident(seed, 40) for seed in range(12)], 1.0, "made-up scores")
    assert constants is not None and constants.measured_on == "made-up scores"
    assert constants.mean_of_one == pytest.approx(0.97, abs=0.02)
    assert constants.spread == pytest.approx(0.03, abs=0.01)
    fresh = [overconfident(seed, 40) for seed in range(100, 112)]
    said = np.concatenate([probabilities(each.scores, each.left_out, constants) for each in fresh])
    is_true = np.concatenate([each.is_true for each in fresh])
    assert said[said > 0.3].mean() == pytest.approx(is_true[said > 0.3].mean(), abs=0.05)
    alone = np.concatenate([mixture_probabilities(each.scores, each.left_out, constants) for each in fresh])
    assert alone[said > 0.3].mean() > is_true[said > 0.3].mean() + 0.2  # the mixture by itself is too sure


def test_where_hardly_anything_true_is_found_nothing_is_promised() -> None:
    few = Trial(np.linspace(0.9, 0.3, 50), np.arange(50) < 3, np.zeros(0))
    assert fit([few], None, "") is None


def test_examples_are_moved_by_the_gain_that_brings_them_nearest_and_by_none_that_takes_them_away() -> None:
    assert best_gain([{None: 30.0, 0.25: 20.0, 0.5: 12.0, 1.0: 15.0, 2.0: 25.0, 4.0: 29.0}]) == 0.5
    assert best_gain([{None: 10.0, 0.25: 40.0, 0.5: 40.0, 1.0: 30.0, 2.0: 20.0, 4.0: 11.0}]) is None


def test_constants_travel_with_the_weights_which_stay_as_they_are(exported: Path, constants: SearchConstants) -> None:
    before = load_encoder(exported)
    assert before.search_constants is None
    write_search_constants(exported, constants)
    after = load_encoder(exported)  # checks the fingerprint
    assert after.search_constants == constants
    assert all(bool((a == b).all()) for a, b in zip(before.parameters(), after.parameters(), strict=True))


def test_a_trained_encoder_is_measured_and_an_untrained_one_promises_nothing(tmp_path: Path) -> None:
    words, own = [*SMALL, f"out_dir={tmp_path}"], tmp_path / "own.safetensors"
    shutil.copy(find_weights("shipped"), own)
    run(compose_settings("embed_calibrate", CalibrateConfig, [*words, f"encoder={own}"]))
    measured = json.loads((tmp_path / "search_constants.json").read_text())
    assert 0.7 < measured["mean_of_one"] < 1.1 and measured["slope"] > 0
    assert measured["recentre_gain"] is not None  # its particle score points to centres
    assert "bright" in measured["measured_on"]
    assert load_encoder(own).search_constants == SearchConstants(**measured)
    with pytest.warns(match="nothing can be promised"):
        run(compose_settings("embed_calibrate", CalibrateConfig, [*words, "encoder=random-tiny"]))
    assert json.loads((tmp_path / "search_constants.json").read_text()) is None
