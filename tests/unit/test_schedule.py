"""Tasks interleaved by weight."""

from collections import Counter

import pytest

from data_synth.tasks.mixture.schedule import Schedule

WEIGHTS = [
    {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1},
    {"a": 5, "b": 0.5, "c": 2},
    {"a": 1},
    {"a": 1, "b": 0, "c": 3},
]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_every_prefix_holds_the_tasks_by_weight(weights):
    schedule = Schedule(weights, 1000)
    counts = Counter()
    active = [task for task, weight in weights.items() if weight]
    for index in range(1000):
        task, turn = schedule[index]
        assert turn == counts[task]
        counts[task] += 1
        for name in active:
            share = weights[name] / sum(weights.values())
            assert abs(counts[name] - share * (index + 1)) <= (len(active) + 1) / 2
    assert set(counts) == set(active)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_more_rows_change_no_earlier_one(weights):
    short, long = Schedule(weights, 37), Schedule(weights, 5000)
    assert [short[i] for i in range(37)] == [long[i] for i in range(37)]
