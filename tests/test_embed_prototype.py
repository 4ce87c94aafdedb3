"""From examples to a score: its scale, what rivals and negatives cost, and the bound that FAISS searches by."""

import numpy as np
import pytest

from embed.prototype import fit, leave_one_out
from embed.surroundings import Surroundings, Vectors


def unit_vectors() -> Vectors:
    """Random unit vectors ``(540, 32)``."""
    vectors = np.random.default_rng(0).standard_normal((540, 32)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def around(vectors: Vectors, num_rivals: int = 4) -> Surroundings:
    """All of ``(n, e)`` as background, and the last few as rivals."""
    return Surroundings(vectors, vectors[len(vectors) - num_rivals :])


def test_without_rivals_the_score_ranks_by_cosine_with_the_mean_example() -> None:
    field = unit_vectors()
    mean = field[:3].mean(0)
    cosine = field @ mean / np.linalg.norm(mean)
    for context, weight in ((around(field), 0.0), (around(field, 0), 0.3)):
        assert np.corrcoef(cosine, fit(field[:3], context, weight).score(field))[0, 1] == pytest.approx(1.0)


@pytest.mark.parametrize("rival_weight", [0.0, 0.3])
def test_score_is_zero_for_background_and_one_for_the_mean_example(rival_weight: float) -> None:
    vectors = unit_vectors()
    prototype = fit(vectors[:3], around(vectors), rival_weight)
    assert prototype.score(vectors).mean() == pytest.approx(0.0, abs=1e-4)
    assert prototype.score(vectors[:3]).mean() == pytest.approx(1.0, abs=1e-4)


def test_likeness_to_a_rival_costs_and_a_rival_like_the_examples_is_none() -> None:
    axes = np.eye(8, dtype=np.float32)
    example, rival, other = axes[:3]
    twin = (example + 0.1 * other) / np.hypot(1, 0.1)
    prototype = fit(example[None], Surroundings(axes[3:], np.stack([rival, twin])))
    np.testing.assert_array_equal(prototype.rivals, rival[None])
    towards_rival, elsewhere = (example + rival) / 2**0.5, (example + other) / 2**0.5
    scores = prototype.score(np.stack([towards_rival, elsewhere]))
    assert scores[0] < scores[1] - 0.1


@pytest.mark.parametrize("rival_weight", [0.0, 0.3, 1.0])
def test_no_place_that_scores_enough_is_ruled_out(rival_weight: float) -> None:
    vectors = unit_vectors()
    prototype = fit(vectors[:3], around(vectors), rival_weight)
    scores = prototype.score(vectors)
    for score in np.quantile(scores, [0.5, 0.7, 0.9]):
        direction, lowest = prototype.at_least(float(score))
        ruled_out = vectors @ direction < lowest - 1e-4
        assert ruled_out.any() and scores[ruled_out].max() < score


def test_likeness_to_a_negative_costs_even_where_it_is_like_the_examples() -> None:
    axes = np.eye(8, dtype=np.float32)
    example, negative, other = axes[:3]
    scored = np.stack([example + 0.5 * negative, example + 0.5 * other]) / np.hypot(1, 0.5)
    context = Surroundings(axes[3:], axes[:0])
    without, with_negative = fit(example[None], context), fit(example[None], context, negatives=negative[None])
    assert np.ptp(without.score(scored)) == pytest.approx(0, abs=1e-6)
    first, second = with_negative.score(scored)
    assert first < second - 0.1
    assert with_negative.score(example[None])[0] == pytest.approx(1)


def test_each_example_is_scored_by_the_others() -> None:
    vectors = unit_vectors()
    examples = vectors[0] + 0.3 * vectors[1:6]
    examples /= np.linalg.norm(examples, axis=1, keepdims=True)
    left_out = leave_one_out(examples, around(vectors))
    expected = fit(examples[1:], around(vectors)).score(examples[:1])[0]
    assert left_out[0] == pytest.approx(expected)
    assert len(left_out) == 5 and left_out.max() < 1
    assert [len(leave_one_out(examples[:count], around(vectors))) for count in (1, 2)] == [0, 2]
