"""The seeds that long rows share: made once whatever the threads, and given up once where there are none."""

import json
import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock

import pytest
from long_horizon_rows import make_task
from task_rows import accepted

from data_synth.llm.model import AnswerError
from data_synth.tasks.long_horizon.seed_cache import SeedCache
from data_synth.tasks.long_horizon.task import LongHorizonTask
from recipes.command import InputError

SHORT = ("long_horizon.difficulty=short", "language=both")


@pytest.fixture
def made(monkeypatch):
    """How often each seed was made, by (group, attempt)."""
    counts, lock, make = Counter(), Lock(), LongHorizonTask._new

    def counted(task, group, attempt):
        with lock:
            counts[group, attempt] += 1
        return make(task, group, attempt)

    monkeypatch.setattr(LongHorizonTask, "_new", counted)
    return counts


def test_threads_on_rows_of_several_blocks_make_each_seed_once(made):
    """In an order that goes back and forth between blocks, as threads that wait for an endpoint do."""
    serial = make_task(*SHORT)
    expected = [json.dumps(accepted(serial, index)) for index in range(48)]
    once = dict(made)
    made.clear()
    task = make_task(*SHORT)
    task._seeds.num_blocks = 3
    order = [index for offset in range(16) for index in (offset, 16 + offset, 32 + offset)]
    with ThreadPoolExecutor(8) as pool:
        rows = dict(zip(order, pool.map(lambda index: json.dumps(accepted(task, index)), order), strict=True))
    assert [rows[index] for index in range(48)] == expected
    assert dict(made) == once
    assert set(made.values()) == {1}


def test_those_who_ask_at_once_wait_for_the_one_that_makes():
    cache, together, calls = SeedCache(2), Barrier(6), []

    def ask(number):
        together.wait()
        return cache.get(0, (0, 0), lambda: calls.append(number) or number)

    with ThreadPoolExecutor(6) as pool:
        answers = set(pool.map(ask, range(6)))
    assert len(calls) == 1
    assert answers == set(calls)


def test_the_blocks_used_last_are_kept():
    cache, calls = SeedCache(2), []
    for block in (0, 1, 0, 2, 0, 1):
        cache.get(block, (block, 0), lambda block=block: calls.append(block))
    assert calls == [0, 1, 2, 1]
    assert len(cache._blocks) == 2


def test_failures_are_kept_and_faults_are_not():
    cache, calls = SeedCache(1), []

    def fail(error):
        calls.append(error)
        raise error

    for _ in range(3):
        with pytest.raises(AnswerError) as refused:
            cache.get(0, (0, 0), lambda: fail(AnswerError("too_few_calls", "3")))
        assert (refused.value.reason, refused.value.detail) == ("too_few_calls", "3")
    assert len(calls) == 1
    for number in (2, 3):
        with pytest.raises(InputError):
            cache.get(0, (0, 1), lambda: fail(InputError("llm.base_url=x: gone")))
        assert len(calls) == number
    assert cache.get(0, (0, 1), lambda: 7) == 7


def test_a_task_that_has_made_seeds_can_be_pickled(made):
    task = make_task(*SHORT)
    rows = [json.dumps(accepted(task, index)) for index in range(4)]
    other = pickle.loads(pickle.dumps(task))
    made.clear()
    assert [json.dumps(accepted(other, index)) for index in range(4)] == rows
    assert set(made.values()) == {1}


def test_a_group_without_a_seed_stops_its_rows_after_max_attempts(made):
    level = "long_horizon.levels.short"
    task = make_task(*SHORT, "max_attempts=6", f"{level}.min_calls=9", f"{level}.min_tools=9")
    for attempt in range(3):
        with pytest.raises(InputError, match=r"^max_attempts=6: no long_horizon/short dialogue .*\(\d \w+"):
            task.attempt(1, attempt)
    assert made == {(0, attempt): 1 for attempt in range(6)}
