"""The verifiers: exact on calls, blind to words, never raising; broken rows are found out."""

import copy
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tool_augmented_rows import shared_rows

from data_synth.tasks.tool_augmented.verify import parse, verify, verify_row

GOLD = {
    "turns": [
        {"calls": [{"name": "a", "arguments": {"x": 1, "y": ["p"]}}, {"name": "b", "arguments": {}}]},
        {"calls": [{"name": "reply", "arguments": {"content": "Done."}}]},
    ]
}


def answer(calls, thought="I think.") -> str:
    return f"<think>{thought}</think><action>ToolList:{json.dumps(calls)}</action>"


A, B = GOLD["turns"][0]["calls"]


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ([A, B], "ok"),
        ([{"arguments": {"y": ["p"], "x": 1.0}, "name": "a"}, B], "ok"),
        ([B, A], "tools"),
        ([A], "number_of_calls"),
        ([A, B, B], "number_of_calls"),
        ([{"name": "a", "arguments": {"x": "1", "y": ["p"]}}, B], "arguments"),
        ([{"name": "a", "arguments": {"x": True, "y": ["p"]}}, B], "arguments"),
        ([{"name": "a", "arguments": {"x": 1, "y": ["p"], "z": None}}, B], "arguments"),
        ([{"name": "a", "arguments": {"x": 1}}, B], "arguments"),
        ([{**A, "id": 1}, B], "format"),
        (["a", B], "format"),
        ({"name": "a"}, "format"),
    ],
)
def test_calls_are_compared_by_name_arguments_and_order(calls, reason):
    assert verify(GOLD, answer(calls)) == (reason == "ok", reason)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([A, B]),
        f"<action>ToolList:{json.dumps([A, B])}</action>",
        f"<think></think><action>ToolList:{json.dumps([A, B])}</action>",
        f"<think>t</think><action>{json.dumps([A, B])}</action>",
        answer([A, B]) + " And more.",
        answer([A, B]) * 2,
        "<think>t</think><action>ToolList:[{]</action>",
        "<think>t</think><action>ToolList:" + "[" * 5000 + "]" * 5000 + "</action>",
        "<think>t</think><action>ToolList:[" + "1," * 200_000 + "1]</action>",
    ],
)
def test_other_formats_fail(text):
    assert verify(GOLD, text) == (False, "format")


def test_what_a_reply_says_is_free_but_it_must_say_something():
    for content, ok in (("Anything.", True), ("  ", False), (3, False), (None, False)):
        assert verify(GOLD, answer([{"name": "reply", "arguments": {"content": content}}]), 1)[0] == ok
    assert not verify(GOLD, answer([{"name": "reply", "arguments": {"content": "x", "to": "y"}}]), 1)[0]
    assert verify(GOLD, answer([]), 2) == (False, "no_such_turn")
    assert verify(GOLD, answer([]), -1) == (False, "no_such_turn")


@given(st.text() | st.none() | st.binary(), st.integers(-2, 3))
def test_nothing_raises(text, turn):
    assert verify(GOLD, text, turn)[0] is False


def of(predicate: Callable[[dict], bool]) -> dict:
    return copy.deepcopy(next(row for row in shared_rows() if predicate(row)))


def first_call(row: dict) -> dict:
    return next(call for turn in row["gold"]["turns"] for call in turn["calls"] if call["arguments"])


def rewrite(row: dict, turn: int, change: Callable[[list], None]) -> dict:
    """The row with the calls of a turn changed, in gold and in the message."""
    calls = row["gold"]["turns"][turn]["calls"]
    change(calls)
    messages = [m for m in row["messages"] if m["role"] == "assistant"]
    messages[turn]["content"] = answer(calls, parse(messages[turn]["content"])[0])
    return row


def corrupt_value(row):
    turn, call = next(
        (n, c) for n, t in enumerate(row["gold"]["turns"]) for c in t["calls"] if c["arguments"]
    )
    name = next(n for n, v in call["arguments"].items() if isinstance(v, str))
    return rewrite(
        row, turn, lambda calls: calls[calls.index(call)]["arguments"].update({name: "invented 77341"})
    )


def corrupt_observation(row):
    message = next(m for m in row["messages"] if m["role"] == "tool")
    message["content"] = message["content"].replace('": "', '": "Z', 1)
    return row


def drop_observation(row):
    row["messages"].remove(next(m for m in row["messages"] if m["role"] == "tool"))
    return row


def add_null(row):
    turn = next(n for n, t in enumerate(row["gold"]["turns"]) if t["calls"][0]["name"] != "reply")
    return rewrite(row, turn, lambda calls: calls[0]["arguments"].update(extra=None))


def silent_thought(row):
    message = next(m for m in row["messages"] if m["role"] == "assistant" and '"reply"' not in m["content"])
    message["content"] = answer(parse(message["content"])[1], "Something must be done.")
    return row


def stray_thought(row):
    called = {call["name"] for turn in row["gold"]["turns"] for call in turn["calls"]}
    idle = next(
        t["function"]["name"] for t in row["tools"] if t["function"]["name"] not in called | {"reply"}
    )
    message = row["messages"][-1]
    message["content"] = answer(parse(message["content"])[1], f"I could have called {idle}.")
    return row


def no_summary(row):
    row["messages"].pop()
    row["gold"]["turns"].pop()
    return row


def tool_not_offered(row):
    name = first_call(row)["name"]
    row["tools"] = [tool for tool in row["tools"] if tool["function"]["name"] != name]
    return row


def another_world(row):
    row["gold"]["simulator"]["seed"] += "x"
    return row


@pytest.mark.parametrize(
    "corrupt",
    [
        corrupt_value,
        corrupt_observation,
        drop_observation,
        add_null,
        silent_thought,
        stray_thought,
        no_summary,
        tool_not_offered,
        another_world,
    ],
)
def test_broken_rows_are_found_out(corrupt):
    row = of(lambda row: len(row["gold"]["turns"]) > 2)
    assert verify_row(row)[0]
    assert not verify_row(corrupt(row))[0]


def test_a_branch_that_should_not_run_is_found_out():
    def is_branch(row):
        return any(turn["transition"] == "branch" for turn in row["gold"]["turns"])

    row = of(is_branch)
    for step in row["gold"]["plan"]["steps"]:
        for condition in step.get("when", ()):
            opposite = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
            opposite |= {"is_empty": "not_empty", "not_empty": "is_empty"}
            condition["comparison"] = opposite[condition["comparison"]]
    ok, reason = verify_row(row)
    assert not ok and "conditions" in reason


def test_a_value_that_was_never_asked_for_is_found_out():
    row = of(lambda row: "clarification" in row["meta"]["transitions"])
    for turn in row["gold"]["turns"]:
        turn["transition"] = "termination" if turn["transition"] == "clarification" else turn["transition"]
    ok, reason = verify_row(row)
    assert not ok and "never asked" in reason
