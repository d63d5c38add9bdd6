"""MagicEval-Tool: golden dialogues score 1, what is changed in them lowers the right figure."""

import asyncio
import copy
import json
from typing import Any

import pytest
from commands import must_run
from hypothesis import given
from hypothesis import strategies as st
from magic_eval_sets import FROZEN, ROWS, Scripted, gold, native, options

from evaluation.benchmarks import Judged, Source, Verdict, load
from evaluation.benchmarks._magic_eval_calls import Call, count, read_calls, same
from recipes.command import InputError

NAME = "magic_eval_tool"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def benchmark():
    return load(NAME, Source(None, None, options=options(NAME)))


def wanted(sample_id: str) -> list[Any]:
    return copy.deepcopy(ROWS[NAME][sample_id]["wanted"])


def apis(calls: list[dict]) -> list[dict]:
    return [call for call in calls if call["name"] != "reply"]


def text(calls: list[dict]) -> str:
    return f"<action>ToolList:{json.dumps(calls)}</action>"


def test_golden_answers_score_1_as_text_and_as_calls(benchmark):
    verdicts = [
        Judged(sample_id, benchmark.score(sample_id, gold(NAME, sample_id))) for sample_id in benchmark.ids
    ]
    assert benchmark.metrics(verdicts) == {"name_accuracy": 1.0, "argument_accuracy": 1.0}
    for sample_id in benchmark.ids:
        assert benchmark.score(sample_id, wanted(sample_id)).score == {"name": 1.0, "argument": 1.0}
        thoughtless = [answer.partition("</think>")[2] for answer in gold(NAME, sample_id)]
        assert benchmark.score(sample_id, thoughtless).score == {"name": 1.0, "argument": 1.0}


def test_every_dialogue_with_a_change_loses_the_right_figure(benchmark):
    for sample_id in benchmark.ids:
        first = next(turn for turn, calls in enumerate(wanted(sample_id)) if apis(calls))

        def changed(change, sample_id=sample_id, first=first):
            turns = wanted(sample_id)
            change(turns, turns[first])
            return benchmark.score(sample_id, turns).score

        dropped = changed(lambda turns, calls: calls.pop(0))
        assert dropped["name"] < 1 and dropped["argument"] < 1
        renamed = changed(lambda turns, calls: calls[0].update(name="no_such_tool"))
        assert renamed["name"] < 1 and renamed["argument"] < 1
        added = changed(lambda turns, calls: calls.append({"name": "list_pets", "arguments": {"x": 1}}))
        assert added["name"] < 1 and added["argument"] < 1
        extended = changed(lambda turns, calls: calls[0]["arguments"].update(no_such_parameter=1))
        assert extended == {"name": 1.0, "argument": extended["argument"]} and extended["argument"] < 1
        late = changed(lambda turns, calls: turns.insert(0, []))
        assert late["name"] < 1 and late["argument"] < 1
        within = changed(lambda turns, calls: calls.reverse())
        assert within == {"name": 1.0, "argument": 1.0}
        cut = [answer[:-20] for answer in gold(NAME, sample_id)]
        assert benchmark.score(sample_id, cut).score == {"name": 0.0, "argument": 0.0}


def test_an_argument_of_another_type_is_wrong(benchmark):
    num_changed = 0
    for sample_id in benchmark.ids:
        turns = wanted(sample_id)
        for call in (call for turn in turns for call in apis(turn)):
            for key, value in call["arguments"].items():
                if isinstance(value, int | float):
                    call["arguments"][key] = str(value)
                    num_changed += 1
        if turns != ROWS[NAME][sample_id]["wanted"]:
            score = benchmark.score(sample_id, turns).score
            assert score["name"] == 1 and score["argument"] < 1
    assert num_changed > 50


def test_the_formula_by_hand(benchmark):
    golden = [Call("a", {"x": 1}), Call("a", {"x": 2}), Call("reply", {"content": "hm"})]
    found = [Call("a", {"x": 2.0}), Call("a", {"x": True}), Call("b", {}), Call("reply", {"content": 3})]
    counts = count(found, golden)
    assert (counts.names, counts.of_names, counts.calls, counts.of_calls) == (3, 4, 1, 3)
    nothing = count([], golden)
    assert (nothing.names, nothing.of_names, nothing.calls, nothing.of_calls) == (0, 3, 0, 2)


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        (None, None, True),
        (None, {}, False),
        ([1, [2]], [1.0, [2]], True),
        ([1, 2], [2, 1], False),
        ({"a": 1, "b": [None]}, {"b": [None], "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        (10**400, 1.5, False),
        (float("nan"), 1, False),
    ],
)
def test_arguments_are_compared_as_json(left, right, equal):
    assert same(left, right) is equal


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ('<think>x</think><action>ToolList:[{"name": "a", "arguments": {}}]</action>', ["a"]),
        ('<action>ToolList:[]</action><action>\nToolList : [{"name": "b"}] </action> end', ["b"]),
        (
            '<tool_call>\n{"name": "a", "arguments": {}}\n</tool_call>\n<tool_call>{"name": "b"}</tool_call>',
            ["a", "b"],
        ),
        ('<tool_call>{"name": "a"}</tool_call><tool_call>{"name": "b"}', []),
        ('<action>[{"name": "a", "arguments": {}}]</action>', []),
        ('<action>ToolList:[{"name": "a", "arguments": {}}]', []),
        ('<action>ToolList:[{"name": "a"}, 3]</action>', []),
        ('ToolList:[{"name": "a", "arguments": {}}]', []),
        ("<action>ToolList:" + "[" * 100_000 + "</action>", []),
        ('<action>ToolList:[{"name": "a", "arguments": ' + "9" * 5000 + "}]</action>", []),
        ("<tool_call>" * 50_000, []),
        ("\ud800", []),
        ("", []),
    ],
)
def test_calls_are_read_from_text(answer, names):
    assert [call.name for call in read_calls(answer)] == names


@given(JSON)
def test_any_json_is_scored(prediction):
    assert set(BENCHMARK.score("general/en/000", prediction).score.values()) <= {0.0}


@given(st.lists(JSON, max_size=4))
def test_any_list_of_answers_is_scored(prediction):
    score = BENCHMARK.score("dependency/zh/003", prediction).score
    assert all(0 <= figure <= 1 for figure in score.values())


BENCHMARK = load(NAME, Source(None, None, options=options(NAME)))


def test_a_dialogue_is_asked_message_by_message_with_the_golden_past(benchmark):
    for sample_id in ("condition/en/000", "context_inheritance/zh/000"):
        chat = Scripted(gold(NAME, sample_id))
        prediction = asyncio.run(benchmark.play(sample_id, chat))
        assert prediction == gold(NAME, sample_id)
        assert len(chat.asked) == len(ROWS[NAME][sample_id]["wanted"])
        for number, request in enumerate(chat.asked):
            assert request["tools"] is None and request["role"] == "agent"
            system, *turns = request["messages"]
            assert all(f'"name": "{tool}"' in system["content"] for tool in ROWS[NAME][sample_id]["tools"])
            spoken = [turn["content"] for turn in turns if turn["role"] == "assistant"]
            assert spoken == gold(NAME, sample_id)[:number]
            assert {turn["role"] for turn in turns} <= {"user", "assistant"}
            assert turns[-1]["role"] == "user"


def test_native_calls_are_asked_for_and_scored(benchmark):
    natively = load(NAME, Source(None, None, options=options(NAME, format="native")))
    for sample_id in natively.ids[:40]:
        chat = Scripted(map(native, wanted(sample_id)))
        prediction = json.loads(json.dumps(asyncio.run(natively.play(sample_id, chat))))
        assert benchmark.score(sample_id, prediction).score == {"name": 1.0, "argument": 1.0}
        for request in chat.asked:
            assert {tool["function"]["name"] for tool in request["tools"]} == set(
                ROWS[NAME][sample_id]["tools"]
            )
            made = [call["id"] for turn in request["messages"] for call in turn.get("tool_calls", [])]
            answered = [turn["tool_call_id"] for turn in request["messages"] if turn["role"] == "tool"]
            assert answered == made
    words = Scripted(["Which one?"] * 9)
    prediction = asyncio.run(natively.play("general/en/000", words))
    assert prediction[0] == [{"name": "reply", "arguments": {"content": "Which one?"}}]


def test_metrics_and_groups(benchmark):
    verdicts = [Verdict({"name": 1.0, "argument": 0.5}, ""), Verdict(0.0, "no text")]
    judged = [Judged("general/en/000", verdict) for verdict in verdicts]
    assert benchmark.metrics(judged) == {"name_accuracy": 0.5, "argument_accuracy": 0.25}
    assert benchmark.group("context_inheritance/zh/004") == "context_inheritance"


def test_a_part_is_chosen_by_scenario_and_language():
    part = load(NAME, Source("condition", None, "zh", options=options(NAME)))
    assert len(part.ids) == 30 and all(sample_id.startswith("condition/zh/") for sample_id in part.ids)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Source("hard", None, options=options(NAME)), r"^subtask=hard: magic_eval_tool has general"),
        (Source(None, None, "fr", options=options(NAME)), r"^language=fr: "),
        (Source(None, "/nowhere.json", options=options(NAME)), r"^data=/nowhere.json: No such file"),
        (Source(None, None, options={}), r"^options.format=None"),
    ],
)
def test_bad_input_is_told_in_a_line(source, message):
    with pytest.raises(InputError, match=message):
        load(NAME, source)


@pytest.mark.parametrize(
    "change",
    [
        lambda frozen: frozen.pop("tools"),
        lambda frozen: frozen.update(name="magic_eval_plan"),
        lambda frozen: frozen["rows"][0]["tools"].append("no_such_tool"),
        lambda frozen: frozen["rows"][0]["wanted"].pop(),
        lambda frozen: frozen["rows"][0]["wanted"][0].pop(),
        lambda frozen: frozen["rows"][0]["wanted"][0][0].pop("name"),
        lambda frozen: frozen["rows"][0]["messages"].pop(0),
        lambda frozen: frozen.update(rows=[]),
    ],
)
def test_a_file_that_does_not_fit_is_refused(change, tmp_path):
    frozen = copy.deepcopy({**FROZEN[NAME], "rows": FROZEN[NAME]["rows"][:2]})
    change(frozen)
    (tmp_path / "set.json").write_text(json.dumps(frozen))
    with pytest.raises(InputError, match=r"^data=.*set\.json: "):
        load(NAME, Source(None, str(tmp_path / "set.json"), options=options(NAME)))


def test_the_command_scores_predictions(tmp_path):
    lines = [
        {"id": "general/en/000", "prediction": gold(NAME, "general/en/000")},
        {"id": "general/en/000", "prediction": None},
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = tmp_path / "out"
    must_run(
        "evaluation.score", f"benchmark={NAME}", f"predictions={tmp_path / 'p.jsonl'}", f"output_dir={out}"
    )
    results = json.loads((out / "results.json").read_text())
    assert results["metrics"] == {"name_accuracy": 0.5, "argument_accuracy": 0.5}
    assert results["per_sample"][0]["score"] == {"name": 1.0, "argument": 1.0}
