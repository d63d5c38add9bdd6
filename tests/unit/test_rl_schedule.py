"""Which prompts a run asks when."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magic_megatron.config.rl import ScheduleConfig
from magic_megatron.rl.schedule import prompt_order
from recipes.command import InputError

TASKS = ["a"] * 50 + ["b"] * 10 + ["c"] * 4
MIXED = ScheduleConfig(name="mixed", task=None, order=None, weights=None)


def order_of(schedule, num_steps=30, batch_size=8, seed=0):
    order = prompt_order(TASKS, schedule, num_steps, batch_size, seed)
    assert order.dtype == np.int64
    assert order.shape == (num_steps * batch_size,)
    return order


def test_a_pass_asks_every_row_once_before_any_is_asked_again():
    order = order_of(MIXED)
    for start in range(0, len(order) - len(TASKS), len(TASKS)):
        assert sorted(order[start : start + len(TASKS)]) == list(range(len(TASKS)))
    assert not np.array_equal(order[: len(TASKS)], order[len(TASKS) : 2 * len(TASKS)])


def test_a_longer_run_begins_as_the_shorter_one():
    for schedule in (MIXED, ScheduleConfig("mixed", None, None, {"a": 1, "b": 2})):
        assert np.array_equal(order_of(schedule, num_steps=40)[: 30 * 8], order_of(schedule, num_steps=30))


def test_the_seed_decides():
    assert np.array_equal(order_of(MIXED, seed=3), order_of(MIXED, seed=3))
    assert not np.array_equal(order_of(MIXED, seed=3), order_of(MIXED, seed=4))


@given(
    st.dictionaries(st.sampled_from("abc"), st.floats(0.1, 10), min_size=1),
    st.integers(1, 20),
    st.integers(1, 9),
)
def test_weights_hold_in_every_stretch(weights, num_steps, batch_size):
    order = prompt_order(TASKS, ScheduleConfig("mixed", None, None, weights), num_steps, batch_size, 0)
    chosen = np.array(TASKS)[order]
    for task, weight in weights.items():
        share = weight / sum(weights.values())
        counts = np.cumsum(chosen == task)
        assert np.all(np.abs(counts - share * np.arange(1, len(chosen) + 1)) < len(weights))


def test_one_task_alone():
    assert set(np.array(TASKS)[order_of(ScheduleConfig("single", "b", None, None))]) == {"b"}


def test_one_task_after_another_an_equal_share_each():
    chosen = np.array(TASKS)[order_of(ScheduleConfig("domain_wise", None, ["c", "a", "b"], None))]
    assert [set(part) for part in np.split(chosen, 3)] == [{"c"}, {"a"}, {"b"}]
    uneven = order_of(ScheduleConfig("domain_wise", None, None, None), num_steps=7, batch_size=1)
    assert sorted(np.unique(np.array(TASKS)[uneven], return_counts=True)[1]) == [2, 2, 3]


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (ScheduleConfig("single", "d", None, None), ["schedule.task=d", "a, b, c"]),
        (ScheduleConfig("domain_wise", None, ["a", "d"], None), ["schedule.order=d"]),
        (ScheduleConfig("mixed", None, None, {"d": 1}), ["schedule.weights=d"]),
        (ScheduleConfig("mixed", None, None, {"a": 0}), ["schedule.weights={'a': 0}", "above 0"]),
        (ScheduleConfig("mixed", None, None, {"a": 1, "b": -1}), ["none below"]),
    ],
)
def test_what_is_refused(schedule, words):
    with pytest.raises(InputError) as refused:
        order_of(schedule)
    assert all(word in str(refused.value) for word in words)
