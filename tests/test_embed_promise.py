"""A threshold without ground truth keeps its promises on scores whose truth is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from embed.density_profile import NUM_SHELLS
from embed.gather import gather
from embed.promise import LOWEST_SCORE, choose_cutoff, expected_at, mixture_probabilities, probabilities
from embed.shard import Shard, Storage
from embed.surroundings import measure_surroundings, particle_places
from tomoseek.network.search_constants import SearchConstants

Floats = NDArray[np.float64]


def candidates(seed: int, distance: float, num_true: int = 60) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Scores of true particles, of look-alikes some way below them and of other things; five left-out examples."""
    random = np.random.default_rng(seed)
    true = random.normal(0.97, 0.035, num_true)
    alike = random.normal(0.97 - distance, 0.06, 120)
    rest = random.normal(0.45, 0.1, 200)
    scores = np.concatenate([true, alike, rest])
    return scores, np.arange(len(scores)) < num_true, random.normal(0.97, 0.035, 5)


@pytest.mark.parametrize("distance", [0.12, 0.3])
def test_promised_precision_and_recall_are_kept_on_average(distance: float, constants: SearchConstants) -> None:
    precision_error, recall_error = [], []
    for seed in range(12):
        scores, is_true, left_out = candidates(seed, distance)
        probability = mixture_probabilities(scores, left_out, constants)
        for wanted in (0.6, 0.8):
            cutoff = choose_cutoff(scores, probability, wanted)
            picked = scores >= cutoff.threshold
            assert cutoff.precision >= wanted
            precision_error.append(abs(is_true[picked].mean() - cutoff.precision))
            recall_error.append(abs(picked[is_true].mean() - cutoff.recall))
    assert np.mean(precision_error) < 0.12
    assert np.mean(recall_error) < 0.12


def test_without_a_wish_the_threshold_balances_precision_and_recall(constants: SearchConstants) -> None:
    shortfall = []
    for seed in range(12):
        scores, is_true, left_out = candidates(seed, 0.2)
        cutoff = choose_cutoff(scores, mixture_probabilities(scores, left_out, constants), None)

        def f1(threshold: float, scores: Floats = scores, is_true: NDArray[np.bool_] = is_true) -> float:
            picked = scores >= threshold
            return float(2 * is_true[picked].sum() / (picked.sum() + is_true.sum()))

        shortfall.append(max(f1(t) for t in scores) - f1(cutoff.threshold))
    assert np.mean(shortfall) < 0.05


def test_probability_rises_with_the_score_and_is_nothing_in_the_background(constants: SearchConstants) -> None:
    scores, _, left_out = candidates(0, 0.2)
    scores[0] = LOWEST_SCORE - 0.01
    # Where examples differ and look-alikes do not, the normal parts of the mixture cross twice.
    clump = np.concatenate([np.linspace(0.31, 0.5, 4), np.linspace(0.68, 0.72, 100), np.linspace(0.9, 1.2, 20)])
    for found, examples in ((scores, left_out), (clump, np.array([0.7, 0.9, 1.3]))):
        for measure in (mixture_probabilities, probabilities):
            probability = measure(found, examples, constants)
            assert (probability[found < LOWEST_SCORE] == 0).all()
            assert (np.diff(probability[np.argsort(found)]) >= 0).all()
            assert probability.max() > 0.8


def test_where_nothing_is_like_the_examples_nothing_is_promised(constants: SearchConstants) -> None:
    likely = mixture_probabilities(np.linspace(0.4, 0.5, 50), np.full(4, 0.97), constants)
    assert ((likely >= 0) & (likely < 0.01)).all()


def test_examples_that_differ_make_a_lower_score_likely_and_those_that_agree_do_not(constants: SearchConstants) -> None:
    scores = np.concatenate([np.linspace(0.35, 0.55, 60), [0.75, 0.9, 0.95, 1.0, 1.05]])
    agree, differ = (
        mixture_probabilities(scores, 1 + spread * np.array([-1.0, -0.5, 0.5, 1.0]), constants)[60]
        for spread in (0.02, 0.25)
    )
    assert agree < 0.5 < 0.9 < differ


def test_what_is_promised_allows_for_look_alikes_that_the_mixture_cannot_know(constants: SearchConstants) -> None:
    scores, _, left_out = candidates(0, 0.2)
    mixture, allowed = mixture_probabilities(scores, left_out, constants), probabilities(scores, left_out, constants)
    sure = mixture > 0.5
    assert (allowed[sure] < mixture[sure]).all()
    threshold = float(np.quantile(scores, 0.9))
    assert expected_at(threshold, scores, allowed).precision < expected_at(threshold, scores, mixture).precision


def test_particles_that_nothing_resembles_are_all_promised(constants: SearchConstants) -> None:
    scores = np.concatenate([np.linspace(0.98, 1.01, 12), [0.54, 0.46, 0.45, 0.42, 0.34]])
    cutoff = choose_cutoff(
        scores, mixture_probabilities(scores, np.array([0.997, 0.999, 0.990, 1.002]), constants), None
    )
    assert (scores >= cutoff.threshold).sum() == 12
    assert cutoff.precision > 0.8 and cutoff.recall > 0.9


def test_one_example_and_no_candidates_are_enough_for_an_answer(constants: SearchConstants) -> None:
    scores, is_true, _ = candidates(1, 0.3)
    cutoff = choose_cutoff(scores - 0.05, probabilities(scores - 0.05, np.zeros(0), constants), None)
    picked = scores - 0.05 >= cutoff.threshold
    assert is_true[picked].mean() > 0.7 and picked[is_true].mean() > 0.7
    empty = choose_cutoff(np.zeros(0), np.zeros(0), 0.9)
    assert empty.precision == 0 and empty.recall == 0 and empty.threshold == 1


def test_expectations_are_those_of_the_candidates_above(constants: SearchConstants) -> None:
    scores, probability = np.array([0.9, 0.8, 0.7]), np.array([0.9, 0.5, 0.1])
    cutoff = expected_at(0.75, scores, probability)
    assert cutoff.precision == pytest.approx(0.7)
    assert cutoff.recall == pytest.approx(1.4 / 1.5)
    wanted = choose_cutoff(scores, probability, 0.99)
    assert (wanted.threshold, wanted.precision) == (0.9, pytest.approx(0.9))  # the best there is
    assert choose_cutoff(scores, np.array([1.0, 0.5, 0.0]), 0.75).threshold == 0.8  # what was wanted, exactly


def planted(trained: bool) -> Shard:
    """Twenty of each of two kinds of particle, four cells apart, in a field of noise."""
    grid, random = (8, 40, 40), np.random.default_rng(0)
    cells = np.stack(np.meshgrid(*[np.arange(n) for n in grid], indexing="ij"), -1).reshape(-1, 3)
    vectors = random.standard_normal((*grid, 16)).astype(np.float32)
    logits = np.full(grid, -5.0, dtype=np.float32)
    places = [(4, y, x) for y in range(4, 40, 7) for x in range(4, 40, 5)][:40]
    for number, place in enumerate(places):
        vectors[place] = 20 * np.eye(16)[number % 2] + random.standard_normal(16)
        logits[place] = 2.0 if trained else -5.0
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    blocks = [(cells, vectors.reshape(-1, 16), logits.reshape(-1))]
    return gather(blocks, 16, Storage.float16, grid, 1.0, np.zeros((*grid, NUM_SHELLS), np.int8))


def test_rivals_are_the_kinds_of_particle_in_the_project(constants: SearchConstants) -> None:
    shard = planted(trained=True)
    assert len(particle_places(shard)) == 40
    rivals = measure_surroundings([shard]).rivals
    assert {0, 1} <= set(rivals.argmax(1).tolist()) <= {0, 1}
    assert (rivals.max(1) > 0.9).all()


def test_an_untrained_particle_head_gives_no_rivals(constants: SearchConstants) -> None:
    assert measure_surroundings([planted(trained=False)]).rivals.shape == (0, 16)
