"""Intervals and paired tests of the report, against loops, enumeration and distributions that are known."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from evaluation.report.statistics import (
    Resampling,
    compare,
    mcnemar,
    mean_interval,
    pass_hat,
    sign_flips,
    weighted_interval,
)

MANY = Resampling(num_resamples=5_000, seed=1)
FEW = Resampling(num_resamples=200, seed=1)


def by_id(scores):
    return {str(number): [score] for number, score in enumerate(scores)}


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_binomial_test(gained, lost):
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(expected)


def test_mcnemar_of_thousands():
    assert mcnemar(2000, 2000) == 1.0
    assert 0 < mcnemar(1500, 2500) < 1e-50


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_the_interval_is_the_binomial_s(share):
    """The bootstrap of a mean of 0 and 1 is a binomial distribution."""
    num = 400
    right = int(share * num)
    found = mean_interval(by_id([1.0] * right + [0.0] * (num - right)), MANY)
    width = 1.96 * math.sqrt(share * (1 - share) / num)
    assert found.value == share
    assert found.low == pytest.approx(share - width, abs=0.01)
    assert found.high == pytest.approx(share + width, abs=0.01)


def test_trials_of_an_id_are_drawn_together():
    noise = random.Random(0)
    easy = {str(i): [float(noise.random() < 0.5)] * 8 for i in range(50)}
    alone = {f"{i}/{trial}": [scores[trial]] for i, scores in easy.items() for trial in range(8)}
    together, apart = mean_interval(easy, MANY), mean_interval(alone, MANY)
    assert together.value == apart.value
    assert (together.high - together.low) / (apart.high - apart.low) == pytest.approx(math.sqrt(8), rel=0.08)


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=1, max_size=30))
def test_an_interval_holds_its_value_and_repeats(lists):
    scores = {str(number): values for number, values in enumerate(lists)}
    found = mean_interval(scores, FEW)
    assert found.value == pytest.approx(np.mean([score for values in lists for score in values]))
    assert min(map(min, lists)) - 1e-9 <= found.low <= found.high <= max(map(max, lists)) + 1e-9
    assert found == mean_interval(scores, FEW)


def test_a_weighted_sum_of_groups_has_the_variance_of_its_parts():
    noise = random.Random(3)
    groups = {
        name: by_id([float(noise.random() < 0.6) for _ in range(size)])
        for name, size in (("a", 50), ("b", 400))
    }
    found = weighted_interval(groups, {"a": 0.75, "b": 0.25}, MANY)
    means = {name: np.mean([v for [v] in scores.values()]) for name, scores in groups.items()}
    assert found.value == pytest.approx(0.75 * means["a"] + 0.25 * means["b"])
    variance = sum(w**2 * means[n] * (1 - means[n]) / len(groups[n]) for n, w in (("a", 0.75), ("b", 0.25)))
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.06)


def test_binary_scores_are_compared_by_mcnemar():
    first, second = by_id([1, 1, 0, 0, 0, 0, 0, 0]), by_id([0, 1, 1, 1, 1, 1, 1, 0])
    test = compare(first, second | {"more": [1.0]}, FEW)
    assert (test.num_ids, test.num_gained, test.num_lost, test.name) == (8, 5, 1, "exact McNemar")
    assert test.p_value == pytest.approx(binomtest(1, 6).pvalue)
    assert (test.first, test.second, test.difference.value) == (0.25, 0.75, 0.5)


@pytest.mark.parametrize("shift", [0.0, 0.03, 0.06])
def test_other_scores_are_compared_by_permutations_that_agree_with_the_t_test(shift):
    noise = np.random.default_rng(5)
    first = noise.uniform(0, 1, 300)
    changes = shift + noise.normal(0, 0.25, 300)
    test = compare(by_id(first), by_id(first + changes), MANY)
    assert (test.name, test.num_gained) == ("paired permutation", None)
    t = changes.mean() / (changes.std(ddof=1) / math.sqrt(300))
    assert test.p_value == pytest.approx(math.erfc(abs(t) / math.sqrt(2)), abs=0.03)


def test_without_a_change_nothing_is_significant():
    scores = by_id([0.25, 0.5])
    assert compare(scores, scores, FEW).p_value == 1.0
    trials = {"a": [1.0, 0.0], "b": [1.0, 1.0]}
    assert compare(trials, trials, FEW).name == "paired permutation"


@given(st.lists(st.sampled_from([-1.0, -0.25, 0.0, 0.1, 0.25, 0.5]), min_size=1, max_size=6))
def test_few_changes_are_permuted_exhaustively(changes):
    sums = [
        abs(sum(np.multiply(signs, changes))) for signs in itertools.product((-1, 1), repeat=len(changes))
    ]
    expected = sum(found >= abs(sum(changes)) - 1e-9 for found in sums) / len(sums)
    assert sign_flips(np.array(changes), FEW) == pytest.approx(expected)


def test_drawn_permutations_agree_with_all_of_them():
    changes = np.random.default_rng(3).normal(0.2, 0.5, 12)
    drawn = sign_flips(changes, Resampling(4_000, 1))  # 4,096 patterns are more
    assert drawn == pytest.approx(sign_flips(changes, Resampling(5_000, 1)), abs=0.03)


@given(st.lists(st.booleans(), min_size=1, max_size=6), st.data())
def test_pass_hat_counts_draws(trials, data):
    k = data.draw(st.integers(1, len(trials)))
    draws = list(itertools.combinations(trials, k))
    assert pass_hat(sum(trials), len(trials), k) == pytest.approx(sum(map(all, draws)) / len(draws))
