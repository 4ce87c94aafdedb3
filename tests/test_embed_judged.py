"""Judgements tighten a promise: the truth lies where it is said to lie, and the finds offered first tell most."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from embed.judged import judge

CANDIDATES = 300


def world(seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Probabilities as a search promises them, which ones are right after all, and which are picks.

    The promise is off by an offset and a slope that differ from search to search.
    """
    random = np.random.default_rng(seed)
    odds = np.sort(random.normal(-3, 2.5, CANDIDATES))[::-1]
    right = random.random(CANDIDATES) < expit(np.exp(random.normal(0, 0.4)) * odds + random.normal(0, 1.2))
    promised = expit(odds)
    found, picked = np.cumsum(promised), np.arange(1, CANDIDATES + 1)
    return promised, right, np.arange(CANDIDATES) <= int(np.argmax(2 * found / (picked + found[-1])))


def judged(promised: NDArray[np.float64], right: NDArray[np.bool_], picked: NDArray[np.bool_], count: int):
    """Judge the most telling candidates, five at a time, and return what is known then."""
    known = np.full(CANDIDATES, np.nan)
    promise = judge(promised, promised, known)
    for _ in range(count // 5):
        chosen, _ = promise.most_telling(picked, 5)
        known[chosen] = right[chosen]
        promise = judge(promised, promised, known)
    return promise


@pytest.mark.parametrize(("count", "most_off"), [(0, 0.25), (10, 0.12), (40, 0.05)])
def test_the_truth_lies_in_the_interval_nine_times_in_ten_and_judgements_narrow_it(count: int, most_off: float) -> None:
    inside, off = [], []
    for seed in range(60):
        promised, right, picked = world(seed)
        expected = judged(promised, right, picked, count).expected(picked)
        truth = right[picked].mean()
        low, high = expected.precision_interval
        inside.append(low - 1e-9 <= truth <= high + 1e-9)
        off.append(abs(expected.precision - truth))
    assert 0.8 <= np.mean(inside) <= 1.0
    assert np.mean(off) <= most_off


def test_what_is_offered_first_narrows_more_than_what_comes_by_chance() -> None:
    telling, chance = [], []
    for seed in range(30):
        promised, right, picked = world(seed)
        telling.append(np.diff(judged(promised, right, picked, 10).expected(picked).precision_interval)[0])
        known = np.full(CANDIDATES, np.nan)
        drawn = np.random.default_rng(seed).permutation(CANDIDATES)[:10]
        known[drawn] = right[drawn]
        chance.append(np.diff(judge(promised, promised, known).expected(picked).precision_interval)[0])
    assert np.mean(telling) < 0.7 * np.mean(chance)


def test_a_judged_find_counts_as_what_it_was_judged_to_be() -> None:
    promised, right, picked = world(3)
    known = np.where(picked, right, np.nan)
    promise = judge(promised, promised, known)
    expected = promise.expected(picked)
    assert expected.precision == pytest.approx(right[picked].mean())
    assert expected.precision_interval[0] == expected.precision_interval[1]
    assert set(promise.probability[picked]) <= {0.0, 1.0}


def test_the_width_that_is_foreseen_is_the_width_that_comes() -> None:
    foreseen, came = [], []
    for seed in range(30):
        promised, right, picked = world(seed)
        promise = judge(promised, promised, np.full(CANDIDATES, np.nan))
        chosen, widths = promise.most_telling(picked, 20)
        assert len(set(chosen.tolist())) == 20 and len(widths) == 21 and (np.diff(widths) <= 1e-12).all()
        known = np.full(CANDIDATES, np.nan)
        known[chosen] = right[chosen]
        low, high = judge(promised, promised, known).expected(picked).precision_interval
        foreseen.append(widths[-1])
        came.append((high - low) / 2)
    assert np.mean(came) == pytest.approx(np.mean(foreseen), rel=0.4)


def test_where_nothing_is_promised_judgements_alone_speak() -> None:
    scores = np.linspace(1.2, 0.3, 100)
    right = scores > 0.75
    picked = scores >= 0.6
    before = judge(scores, None, np.full(100, np.nan)).expected(picked)
    assert np.diff(before.precision_interval)[0] > 0.5
    truth = right[picked].mean()
    for every, most_off in ((5, 0.15), (2, 0.05)):
        known = np.full(100, np.nan)
        known[::every] = right[::every]
        after = judge(scores, None, known).expected(picked)
        low, high = after.precision_interval
        assert low <= truth <= high and high - low < np.diff(before.precision_interval)[0] / 2
        assert after.precision == pytest.approx(truth, abs=most_off)
    nothing = judge(np.zeros(0), None, np.zeros(0))
    assert nothing.expected(np.zeros(0, dtype=bool)).num_picks == 0 and not len(
        nothing.most_telling(np.zeros(0, bool), 3)[0]
    )
