"""Dialogues of τ²-bench in the shapes that predictions may have, and anything else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.benchmarks._tau2_trajectory import UnreadableError, clean, parse_object, read_trajectory

STOPS = ("###STOP###",)
CALL = {"id": "a", "name": "get_order", "arguments": {"id": "#W1"}, "requestor": "assistant"}
RESULT = {"role": "tool", "id": "a", "content": "{}", "requestor": "assistant", "error": False}
PLAIN = [
    {"role": "assistant", "content": "Hi"},
    {"role": "user", "content": "Where is it?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    RESULT,
    {"role": "user", "content": "Bye ###STOP###"},
]
OPENAI = [
    {"role": "system", "content": "Be kind."},
    *PLAIN[:2],
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "get_order", "arguments": '{"id": "#W1"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "a", "content": "{}"},
    PLAIN[4],
]
SIMULATION = {
    "id": "x",
    "task_id": "0",
    "duration": 1.5,
    "reward_info": None,
    "termination_reason": "user_stop",
    "messages": [
        {**message, "turn_idx": i, "timestamp": None, "cost": 0.0} for i, message in enumerate(PLAIN)
    ],
}
NUMBERLESS = [
    *PLAIN[:2],
    {"role": "assistant", "tool_calls": [{"name": "get_order", "arguments": {"id": "#W1"}}] * 2},
    {"role": "tool", "tool_messages": [{"role": "tool", "content": "{}"}, {"role": "tool", "content": "{}"}]},
    PLAIN[4],
]


@pytest.mark.parametrize(
    "prediction",
    [PLAIN, OPENAI, SIMULATION, {"messages": PLAIN}, json.dumps(PLAIN), json.dumps(SIMULATION)],
    ids=["list", "openai", "simulation", "object", "text", "text of a simulation"],
)
def test_one_dialogue_in_many_shapes(prediction):
    read = read_trajectory(prediction, STOPS)
    assert read.messages == PLAIN
    assert (read.ending, read.judgement) == ("user_stop", None)


def test_calls_and_results_without_an_id_get_one():
    messages = read_trajectory(NUMBERLESS, STOPS).messages
    assert [call["id"] for call in messages[2]["tool_calls"]] == ["call_1", "call_2"]
    assert [message["id"] for message in messages[3:5]] == ["call_1", "call_2"]


def test_a_users_calls_are_the_users():
    calls = [
        {"role": "user", "tool_calls": [{"name": "reboot", "arguments": "{}"}]},
        {"role": "tool", "content": ""},
    ]
    messages = read_trajectory([PLAIN[0], *calls, PLAIN[4]], STOPS).messages
    assert messages[1]["tool_calls"][0]["requestor"] == messages[2]["requestor"] == "user"


def test_the_given_ending_counts():
    assert (
        read_trajectory({"messages": PLAIN, "termination_reason": "max_steps"}, STOPS).ending == "max_steps"
    )
    with pytest.raises(UnreadableError, match="no termination reason"):
        read_trajectory(PLAIN[:-1], STOPS)
    with pytest.raises(UnreadableError, match="no dialogue: termination_reason"):
        read_trajectory({"messages": PLAIN, "termination_reason": "boredom"}, STOPS)


def nested(depth, opening="[", closing="]"):
    return opening * depth + closing * depth


@pytest.mark.parametrize(
    "text",
    ["", "Sure!", "1", "[1]", "{}", '{"messages": 3}', nested(70), nested(100_000), "9" * 5000, '{"a": NaN}'],
    ids=lambda text: text[:20],
)
def test_what_is_no_dialogue_is_refused(text):
    with pytest.raises(UnreadableError):
        read_trajectory(text, STOPS)


@pytest.mark.parametrize(
    "arguments",
    ["[]", "1", '{"a": 1', '{"a": NaN}', '{"a": ' + "9" * 5000 + "}", nested(100_000, '{"a":', "}")],
)
def test_arguments_that_are_no_object_are_refused(arguments):
    with pytest.raises(UnreadableError):
        parse_object(arguments)


def test_arguments_are_parsed():
    assert parse_object(" ") == {}
    assert parse_object('{"zip": "19122", "items": [1, {"b": null}]}') == {
        "zip": "19122",
        "items": [1, {"b": None}],
    }
    assert clean({"\ud83d": ["\udc00!"]}) == {"?": ["?!"]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.fixed_dictionaries(
    {"role": st.sampled_from(["assistant", "user", "tool", "system"]) | JSON},
    optional={
        "content": st.text() | JSON,
        "tool_calls": st.lists(st.sampled_from([CALL, {"name": 1}, {"function": {"name": "a"}}]) | JSON)
        | JSON,
        "id": JSON,
        "tool_messages": JSON,
        "error": JSON,
    },
)


@given(JSON | st.lists(FIELDS, max_size=6) | st.fixed_dictionaries({"messages": st.lists(FIELDS) | JSON}))
def test_any_json_is_a_dialogue_or_refused(prediction):
    for given_as in (prediction, json.dumps(prediction)):
        try:
            read = read_trajectory(given_as, STOPS)
        except UnreadableError as refused:
            assert str(refused)
        else:
            assert {message["role"] for message in read.messages} <= {"assistant", "user", "tool"}
