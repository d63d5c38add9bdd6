"""No text makes a reward raise, evaluate or take long; ``tests/fuzz/fuzz_rewards.py`` looks much further."""

import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reward_rows import TASKS, lexical_settings, of_task

from magic_megatron.rl.rewards import PARTS, score

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))
from fuzz_rewards import FRAGMENTS, GARBAGE, mutated

SECONDS = 2.0
"""For 100 kB, in CPU time; all are linear and take far less."""


def assert_total(task, text):
    for answer in of_task(task)[:3]:
        reward = score(task, text, answer.ground_truth, lexical_settings())
        assert reward.parts.keys() < set(PARTS) and all(0 <= value <= 1 for value in reward.parts.values())
        assert reward.score == sum(reward.parts.values())
        assert 0 < len(reward.reason) <= 200 and "\n" not in reward.reason


@given(st.sampled_from(TASKS), st.text(max_size=200))
def test_any_text_has_a_reward(task, text):
    assert_total(task, text)


@given(
    st.sampled_from(TASKS),
    st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=25).map("".join),
)
def test_any_mixture_of_tags_and_texts_has_a_reward(task, text):
    assert_total(task, text)


@given(st.sampled_from(TASKS), st.integers(0, 10**9))
def test_any_change_of_a_gold_answer_has_a_reward(task, seed):
    answer = of_task(task)[seed % 5]
    assert_total(task, mutated(answer.response, seed))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda text: repr(text)[:40])
def test_100_kb_of_garbage_take_bounded_time(task, garbage):
    answer = of_task(task)[0]
    head, _, tail = answer.response.partition(" ")
    inside = answer.response.replace("<answer>", "<answer>{0}").replace("Node:", "Node:{0}", 1)
    inside = inside.replace("<Plan>", "<Plan>{0}").replace("ToolList:[", "ToolList:[{0}")
    for frame in ("{0}", f"<think>{{0}}</think>{head}", f"{head}{{0}}{tail}", inside):
        filler = garbage * (99_000 // len(garbage))
        text = frame.replace("{0}", filler)[:100_000]
        starts = time.process_time()
        score(task, text, answer.ground_truth, lexical_settings())
        assert time.process_time() - starts < SECONDS


def test_more_than_100_kb_are_not_read():
    answer = of_task("scheduling")[0]
    reward = score("scheduling", answer.response + " " * 100_000, answer.ground_truth, lexical_settings())
    assert reward.parts == {"format": 0.0, "schedule": 0.0}


def test_lone_surrogates_and_nothing_evaluated():
    call = '<think>.</think><tool_call>{"name": "reply", "arguments": {"content": "\\ud800"}}</tool_call>'
    truth = {"turns": [{"call": {"name": "reply", "arguments": {"content": "Hello."}}}]}
    assert score("long_horizon", call, truth, lexical_settings()).parts == {"format": 1.0, "tool": 0.0}
    bomb = "<think>.</think><action>ToolList:[__import__('os').abort()]</action>"
    assert score("tool_augmented", bomb, {"turns": [{"calls": []}]}, lexical_settings()).parts["tool"] == 0.0
