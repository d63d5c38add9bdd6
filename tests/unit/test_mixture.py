"""Mixture weights: every row as often as it is due, in every epoch and over many."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magic_megatron.data.mixture import Mixture, domain_weights
from recipes.command import InputError

DOMAINS = ("scheduling/calendar", "scheduling/trip", "tools/chain")


def mixture(sizes: list[int], weights: list[float], seed: int = 0) -> Mixture:
    bounds = np.cumsum([0, *sizes])
    rows = [np.arange(first, last) for first, last in itertools.pairwise(bounds)]
    return Mixture(rows, weights, seed)


def naive_epoch(rows: list[int], weight: float, orders: list[list[int]], epoch: int) -> list[int]:
    """The endless sequence of passes written out, and the part of it that an epoch takes."""
    endless = [row for order in orders for row in order]
    first, last = (math.ceil(e * weight * len(rows) - 1e-6) for e in (epoch, epoch + 1))
    return endless[first:last]


@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    weight=st.sampled_from([0, 0.1, 0.3, 0.5, 0.75, 1, 1.5, 2, 2.7]),
    num_epochs=st.integers(1, 12),
)
def test_rows_of_a_domain_are_seen_equally_often_up_to_one(sizes, weight, num_epochs):
    mixed = mixture(sizes, [weight] * len(sizes))
    seen = Counter(row for epoch in range(num_epochs) for row in mixed.epoch(epoch).tolist())
    bounds = np.cumsum([0, *sizes])
    for first, last in itertools.pairwise(bounds):
        counts = [seen[row] for row in range(first, last)]
        assert sum(counts) == math.ceil(num_epochs * weight * len(counts) - 1e-6)
        assert not counts or max(counts) - min(counts) <= 1


@pytest.mark.parametrize("weight", [0.3, 0.5, 1.0, 1.7, 2.0])
def test_an_epoch_is_its_part_of_the_endless_passes(weight):
    mixed = mixture([10], [weight], seed=4)
    orders = [np.random.default_rng([4, 0, number]).permutation(10).tolist() for number in range(12)]
    for epoch in range(6):
        expected = naive_epoch(list(range(10)), weight, orders, epoch)
        assert sorted(mixed.epoch(epoch).tolist()) == sorted(expected)


def test_whole_weights_make_every_epoch_alike_and_parts_dont():
    assert mixture([5, 3], [1, 2]).is_constant
    assert not mixture([5, 3], [1, 0.5]).is_constant
    assert mixture([5, 0], [1, 0.5]).is_constant
    half = mixture([10], [0.5])
    assert sorted([*half.epoch(0), *half.epoch(1)]) == list(range(10))
    assert sorted(half.epoch(0)) != sorted(mixture([10], [0.5], seed=1).epoch(0))


def test_a_domains_own_weight_comes_before_its_tasks():
    assert domain_weights(None, DOMAINS) == [1, 1, 1]
    assert domain_weights({"scheduling": 3, "scheduling/trip": 0}, DOMAINS) == [3, 0, 1]


@pytest.mark.parametrize(
    ("given_mixture", "message"),
    [
        (
            {"scheduling/trips": 2},
            r"data\.mixture\.scheduling/trips=2: data\.path has no such task or domain; did you mean scheduling/trip",
        ),
        (
            {"qqq": 2},
            r"data\.mixture\.qqq=2: .*; it has scheduling, scheduling/calendar, scheduling/trip, tools, tools/chain$",
        ),
        ({"tools": -1.5}, r"data\.mixture\.tools=-1\.5: must not be negative; 0 leaves the rows out"),
        ({"tools": math.inf}, r"data\.mixture\.tools=inf: must not be negative"),
    ],
)
def test_wrong_names_and_weights_are_refused(given_mixture, message):
    with pytest.raises(InputError, match=f"^{message}"):
        domain_weights(given_mixture, DOMAINS)
