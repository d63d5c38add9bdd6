"""Rows of task=long_horizon: verified and replayed, long, coupled over turns, the same in any order of making."""

import copy
import json
import re
from itertools import pairwise

import pytest
from long_horizon_rows import make_task, some_rows
from task_rows import accepted

from data_synth.tasks.long_horizon.verify import read_call, verify, verify_row
from recipes.command import InputError

BOTH = ("language=both",)
COUNT = 16


def test_every_row_passes_its_verifier():
    for row in some_rows(COUNT, *BOTH):
        assert verify_row(row) == (True, "ok"), row["id"]
        said = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
        assert len(said) == len(row["gold"]["turns"])
        for turn, text in enumerate(said):
            assert verify(row["gold"], text, turn) == (True, "ok")


def test_rows_have_more_than_twenty_calls_of_many_tools():
    for row in some_rows(COUNT, *BOTH):
        called = [turn["call"]["name"] for turn in row["gold"]["turns"] if turn["call"]["name"] != "reply"]
        assert len(called) == row["meta"]["num_calls"] > 20
        assert len(set(called)) >= 15
        assert len(row["tools"]) > len(set(called)) + 3


def test_calls_build_on_answers_many_turns_before():
    spans = []
    for row in some_rows(COUNT, *BOTH):
        turn_of = {step: n for n, turn in enumerate(row["gold"]["plan"]["turns"]) for step in turn["steps"]}
        spans += [turn_of[b] - turn_of[a] for a, b, _ in row["gold"]["plan"]["edges"]]
    assert sum(span >= 1 for span in spans) >= 2 * COUNT
    assert sum(span >= 3 for span in spans) >= COUNT // 2


def test_the_first_request_is_vague():
    for row in some_rows(COUNT, *BOTH):
        first = row["messages"][1]["content"]
        assert not re.search(r"[0-9]", first)
        assert row["gold"]["turns"][0]["call"]["name"] == "reply"


def test_failures_are_recovered_from():
    failed = retried = corrected = 0
    for row in some_rows(COUNT, *BOTH):
        turns = row["gold"]["turns"]
        for before, after in pairwise(turns):
            if before.get("failed"):
                failed += 1
                retried += after["call"] == before["call"]
                corrected += after["call"]["name"] == "reply"
    assert failed == retried + corrected
    assert retried >= 3
    assert corrected >= 1


def test_missing_information_is_asked_for():
    masked = sum(
        any(argument.get("masked") for argument in step["arguments"].values())
        for row in some_rows(COUNT, *BOTH)
        for step in row["gold"]["plan"]["steps"]
    )
    assert masked >= COUNT


def test_rows_can_be_made_in_any_order():
    task = make_task(*BOTH)
    for index in (7, 5, 0, 2):
        again = accepted(task, index)
        assert json.dumps(again) == json.dumps(some_rows(COUNT, *BOTH)[index])


def test_a_diffused_row_has_its_seeds_structure_and_more_tools():
    rows = some_rows(COUNT, *BOTH)
    seeds = {row["meta"]["instance"]: row for row in rows if row["meta"]["parent"] is None}
    assert [index for index, row in enumerate(rows) if row["meta"]["parent"] is None] == [0, 4, 8, 12]
    replaced = 0
    for row in rows:
        if row["meta"]["parent"] is not None:
            seed = seeds[row["meta"]["parent"]]
            sizes = [[len(turn["steps"]) for turn in one["gold"]["plan"]["turns"]] for one in (row, seed)]
            assert sizes[0] == sizes[1]
            assert len(row["tools"]) > len(seed["tools"])
            assert {t["function"]["name"] for t in seed["tools"]} < {
                t["function"]["name"] for t in row["tools"]
            }
            tools = [[step["tool"] for step in one["gold"]["plan"]["steps"]] for one in (row, seed)]
            replaced += tools[0] != tools[1]
    assert replaced >= 4


def test_unsuccessful_dialogues_are_labelled_by_rule():
    overrides = (
        "long_horizon.difficulty=short",
        "long_horizon.keep_unsuccessful=true",
        "long_horizon.failure_share=0.9",
        "long_horizon.num_attempts=1",
    )
    rows = some_rows(24, *overrides)
    labels = [row["meta"]["label"] for row in rows]
    assert {"successful", "unsuccessful"} == set(labels)
    for row in rows:
        assert verify_row(row) == (True, "ok")
        met = row["meta"]["certificate"]
        assert (row["meta"]["label"] == "successful") == (met["requests_met"] == met["requests"])


def test_the_step_limit_ends_a_dialogue():
    level = "long_horizon.levels.short"
    overrides = (
        "long_horizon.difficulty=short",
        "long_horizon.keep_unsuccessful=true",
        f"{level}.min_calls=3",
        f"{level}.max_calls=3",
        f"{level}.num_requests.min=3",
        f"{level}.steps_per_request.min=3",
    )
    for row in some_rows(4, *overrides):
        assert row["meta"]["certificate"]["termination"] == "step_limit"
        assert row["meta"]["num_calls"] == 3
        assert row["meta"]["label"] == "unsuccessful"


def test_too_few_distractors_end_a_dialogue_when_the_tools_are_used():
    level = "long_horizon.levels.short"
    overrides = (
        "long_horizon.difficulty=short",
        "long_horizon.keep_unsuccessful=true",
        "long_horizon.tool_share=0.2",
        "long_horizon.failure_share=0",
        f"{level}.num_requests.min=3",
    )
    for row in some_rows(4, *overrides):
        assert row["meta"]["certificate"]["termination"] == "tools_used"
        assert row["meta"]["certificate"]["requests_met"] < row["meta"]["certificate"]["requests"]


# What the verifier refuses


def _first(row: dict, test) -> tuple[int, dict]:
    return next((n, turn) for n, turn in enumerate(row["gold"]["turns"]) if test(turn))


def _set_message(row: dict, number: int, call: dict) -> None:
    places = [n for n, message in enumerate(row["messages"]) if message["role"] == "assistant"]
    row["messages"][places[number]]["content"] = f"<think>x</think><tool_call>{json.dumps(call)}</tool_call>"


def other_answer(row: dict) -> None:
    message = next(m for m in row["messages"] if m["role"] == "tool" and "error" not in m["content"])
    message["content"] = json.dumps(json.loads(message["content"]) | {"extra": 1})


def made_up_value(row: dict) -> None:
    number, turn = _first(
        row, lambda t: any(isinstance(v, str) for v in t["call"]["arguments"].values()) and "step" in t
    )
    name = next(n for n, v in turn["call"]["arguments"].items() if isinstance(v, str))
    turn["call"]["arguments"][name] = "XYZ-00000"
    _set_message(row, number, turn["call"])


def unknown_tool(row: dict) -> None:
    number, turn = _first(row, lambda t: "step" in t)
    turn["call"]["name"] = "no_such_tool"
    _set_message(row, number, turn["call"])


def message_left_out(row: dict) -> None:
    del row["messages"][next(n for n, m in enumerate(row["messages"]) if m["role"] == "tool")]


def another_label(row: dict) -> None:
    row["gold"]["label"] = "unsuccessful"


def fault_forgotten(row: dict) -> None:
    row["gold"]["environment"]["faults"], row["gold"]["environment"]["absent"] = [], []


@pytest.mark.parametrize(
    "damage", [other_answer, made_up_value, unknown_tool, message_left_out, another_label]
)
def test_a_damaged_row_is_refused(damage):
    for row in some_rows(COUNT, *BOTH)[:4]:
        other = copy.deepcopy(row)
        damage(other)
        assert not verify_row(other)[0]


def test_a_replay_without_the_faults_is_another():
    rows = [row for row in some_rows(COUNT, *BOTH) if row["meta"]["num_failures"]]
    assert len(rows) >= 3
    for row in rows:
        other = copy.deepcopy(row)
        fault_forgotten(other)
        assert not verify_row(other)[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"name": "reply", "arguments": {}}',
        '<think>a</think><tool_call>{"name": "f", "arguments": {}}</tool_call> and more',
        '<think>a</think><tool_call>{"name": "f", "arguments": {}}</tool_call>' * 2,
        '<think>a</think><tool_call>{"name": "f", "arguments": {}, "id": 1}</tool_call>',
        '<think>a</think><tool_call>{"name": "f", "name": "g", "arguments": {}}</tool_call>',
        '<think>a</think><tool_call>{"name": "f", "arguments": []}</tool_call>',
        '<think>a</think><tool_call>{"name": "f", "arguments": {"a": NaN}}</tool_call>',
        "<think>a</think><tool_call>" + "[" * 100_000 + "</tool_call>",
        "<think>a</think><tool_call>f(a=1)</tool_call>",
    ],
)
def test_what_is_no_call_is_refused_and_never_raises(text):
    assert isinstance(read_call(text), str)
    assert verify(some_rows(COUNT, *BOTH)[0]["gold"], text)[0] is False


def test_arguments_are_compared_by_value_and_type():
    gold = {"turns": [{"call": {"name": "f", "arguments": {"a": 1, "b": ["x", 2.5]}}}]}

    def said(arguments: str) -> bool:
        return verify(
            gold, f'<think>t</think><tool_call>{{"arguments": {arguments}, "name": "f"}}</tool_call>'
        )[0]

    assert said('{"b": ["x", 2.5], "a": 1}')
    assert not said('{"b": ["x", 2.5], "a": "1"}')
    assert not said('{"b": ["x", 2.5], "a": true}')
    assert not said('{"b": ["x", 2.5]}')


def test_replies_are_compared_by_words_or_by_a_similarity():
    gold = {"turns": [{"call": {"name": "reply", "arguments": {"content": "Which date, please?"}}}]}
    text = '<think>t</think><tool_call>{"name": "reply", "arguments": {"content": "%s"}}</tool_call>'
    assert verify(gold, text % "which date please")[0]
    assert not verify(gold, text % "Which day?")[0]
    assert verify(gold, text % "Which day?", similarity=lambda a, b: 0.8)[0]
    assert not verify(gold, text % "Which day?", similarity=lambda a, b: 0.79)[0]


@pytest.mark.parametrize(
    "override",
    [
        "long_horizon.levels.long.num_requests.max=1",
        "long_horizon.levels.long.min_calls=99",
        "long_horizon.levels.short.max_calls=1",
        "long_horizon.mask_share=2",
        "long_horizon.num_attempts=0",
        "long_horizon.extra_tools.max=0",
    ],
)
def test_bad_settings_are_named(override):
    with pytest.raises(InputError, match=override.split("=")[0].rsplit(".", 1)[0].replace(".", r"\.")):
        make_task(override)
