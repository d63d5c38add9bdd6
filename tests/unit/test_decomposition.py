"""Rows of ``task=decomposition``: sound, varied, the same bytes whoever makes them; and what the verifier refuses."""

import copy
import json
import pickle
import re
from collections import Counter
from itertools import pairwise

import pytest
from decomposition_rows import rows_of, settings_of, toolbox
from task_rows import accepted

from data_synth.filters.grounding import mask_values
from data_synth.llm.scripted import ScriptedModel
from data_synth.tasks.decomposition.row_checks import dialogue_fault
from data_synth.tasks.decomposition.settings import SUBTASKS
from data_synth.tasks.decomposition.task import DecompositionTask, fingerprint_of
from data_synth.tasks.decomposition.verify import FORMAT, RECORD, parse, verify, verify_row
from data_synth.tools.collection import tool_split
from recipes.command import InputError

NUM_ROWS = 500
OPERATORS = ("concatenate", "add", "group", "mask", "transform", "split")


def queries_of(row):
    return [m["content"] for m in row["messages"] if m["role"] == "user"]


def answers_of(row):
    return [m["content"] for m in row["messages"] if m["role"] == "assistant"]


@pytest.mark.parametrize("overrides", [(), ("language=zh",), ("split=test", "seed=3")])
def test_every_row_passes_its_verifier(overrides):
    for row in rows_of(NUM_ROWS if not overrides else 120, *overrides):
        assert verify_row(row) == (True, "ok"), row["id"]


def test_500_rows_use_tools_operators_and_words_widely():
    rows = rows_of(NUM_ROWS)
    tools = {step["tool"] for row in rows for step in row["gold"]["plan"]["steps"]}
    assert len(tools) >= 200
    operators = Counter(name for row in rows for name in set(row["meta"]["operators"]))
    assert set(operators) == set(OPERATORS) and min(operators.values()) >= 20
    assert Counter(row["subtask"] for row in rows) == dict.fromkeys(SUBTASKS, NUM_ROWS // 4)
    values = [[s["value"] for t in row["gold"]["turns"] for s in t["says"].values()] for row in rows]
    masked = [mask_values(queries_of(row)[0], value) for row, value in zip(rows, values, strict=True)]
    assert len(set(masked)) >= 0.8 * NUM_ROWS
    assert len({row["meta"]["instance"] for row in rows}) >= 0.98 * NUM_ROWS


def test_each_operator_leaves_its_mark_on_the_row():
    for row in rows_of(NUM_ROWS):
        gold, operators = row["gold"], row["meta"]["operators"]
        steps, turns = gold["plan"]["steps"], gold["turns"]
        assert ("transform" in operators) == any(step.get("when") for step in steps)
        assert ("mask" in operators) == any(turn["asks"] for turn in turns)
        assert ("split" in operators) == (len(gold["plan"]["turns"]) > 1)
        if "concatenate" in operators:
            assert any(kind == "data" for _, _, kind in gold["plan"]["edges"])
        if "group" in operators:
            slots = [{a.get("slot") for a in step["arguments"].values()} - {None} for step in steps]
            assert any(a & b for i, a in enumerate(slots) for b in slots[i + 1 :])
        if row["subtask"] == "dependency":
            assert any(kind == "data" for _, _, kind in gold["plan"]["edges"])
        assert row["subtask"] != "condition" or any(step.get("when") for step in steps)
        assert row["subtask"] != "context_inheritance" or len(turns) > 1


def test_a_masked_value_is_asked_for_then_told():
    count = 0
    for row in rows_of(NUM_ROWS):
        turns = row["gold"]["turns"]
        for before, after in pairwise(turns):
            if before["asks"]:
                assert after["kind"] == "answer"
                assert set(after["says"]) == set(before["asks"])
                assert "?" in before["reply"] and len(after["plan"]) > len(before["plan"])
                count += 1
    assert count > 20


def test_candidates_hold_the_plan_s_tools_and_distractors():
    for row in rows_of(NUM_ROWS)[:100]:
        names = [tool["function"]["name"] for tool in row["tools"]]
        used = {step["tool"] for step in row["gold"]["plan"]["steps"]}
        assert used <= set(names) and len(names) == len(set(names)) == len(used) + 4
        assert "x-kind" not in json.dumps(row["tools"])


def test_the_split_is_by_tool():
    shares = ("test_share=0.3", "validation_share=0.2")
    seen = {}
    for split in ("train", "validation", "test"):
        rows = rows_of(40, f"split={split}", *shares)
        seen[split] = {tool["function"]["name"] for row in rows for tool in row["tools"]}
        assert {row["meta"]["split"] for row in rows} == {split}
        assert all(tool_split(name, 0.3, 0.2) == split for name in seen[split])
    assert not seen["train"] & seen["test"] and not seen["train"] & seen["validation"]


def test_rows_don_t_depend_on_the_process_or_the_order():
    task = DecompositionTask(settings_of())
    fresh = pickle.loads(pickle.dumps(task))
    for index in (77, 3, 41):
        assert json.dumps(accepted(fresh, index)) == json.dumps(rows_of(NUM_ROWS)[index])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_tools_without_phrases_make_sound_rows_too(tmp_path, language):
    """What importers give: no phrases, no kinds."""
    path = tmp_path / "tools.jsonl"
    with path.open("w") as lines:
        for tool in list(toolbox("split=all").tools.values())[::3]:
            record = tool.to_record() | {
                "parameters": tool.to_openai()["function"]["parameters"],
                "hints": {},
            }
            lines.write(json.dumps(record) + "\n")
    task = DecompositionTask(settings_of(f"tools.path={path}", f"language={language}"))
    for index in range(60):
        row = accepted(task, index)
        assert verify_row(row) == (True, "ok"), row["id"]


def test_languages_take_turns():
    rows = rows_of(16, "language=both")
    assert Counter(row["meta"]["language"] for row in rows) == {"en": 8, "zh": 8}
    for row in rows:
        chinese = any(re.search("[\u4e00-\u9fff]", query) for query in queries_of(row))
        assert chinese == (row["meta"]["language"] == "zh")


def test_tools_take_turns():
    box = toolbox()
    once = [box.tool_at(position).name for position in range(len(box.tools))]
    again = [box.tool_at(position + len(box.tools)).name for position in range(len(box.tools))]
    assert sorted(once) == sorted(again) == sorted(box.tools)
    assert once != again


def test_the_gold_answer_is_right_and_its_neighbours_are_wrong():
    for row in rows_of(NUM_ROWS)[:60]:
        for turn, text in enumerate(answers_of(row)):
            gold = row["gold"]
            assert verify(gold, text, turn) == (True, "ok")
            assert verify(gold, f" {text}\n", turn)[0]
            assert not verify(gold, text.replace("</Reply>", " And more.</Reply>"), turn)[0]
            assert not verify(gold, text + "!", turn)[0]
            answer = parse(text)
            if answer.steps:
                assert not verify(gold, text.replace(answer.steps[-1], "Do nothing."), turn)[0]
                more = text.replace("</Plan>", f" Step{len(answer.steps) + 1}.Wait.</Plan>")
                assert "steps where" in verify(gold, more, turn)[1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Step1.x",
        "<Plan>Step1.x</Plan>",
        "<Plan>Step1.x</Plan><Reply></Reply>",
        "<Plan>Step2.x</Plan><Reply>y</Reply>",
        "<Plan>Step1.x Step1.y</Plan><Reply>z</Reply>",
        "<Plan>Step1.</Plan><Reply>z</Reply>",
        "<Plan>before Step1.x</Plan><Reply>z</Reply>",
        "<Plan>Step1.x</Plan><Plan>Step1.x</Plan><Reply>z</Reply>",
        "<Plan>Step1.x</Plan> so <Reply>z</Reply>",
        "<Reply>z</Reply><Plan>Step1.x</Plan>",
        "<think>hm</think><Plan>Step1.x</Plan><Reply>z</Reply>",
        "<Plan>" * 3000,
        "<Plan>" + "Step1." * 5000,
        "<Plan>Step99999999999999999999.x</Plan><Reply>z</Reply>",
    ],
)
def test_other_formats_are_refused_without_raising(text):
    gold = {"turns": [{"plan": ["x"], "reply": "z"}]}
    assert parse(text) is None
    assert not verify(gold, text)[0]


def test_similarity_may_be_handed_in():
    gold = {"turns": [{"plan": ["Book it."], "reply": "Sure."}]}
    text = "<Plan>Step1.Reserve it.</Plan><Reply>Of course.</Reply>"
    assert not verify(gold, text)[0]
    assert verify(gold, text, similarity=lambda a, b: 0.8, threshold=0.7)[0]
    assert not verify(gold, text, similarity=lambda a, b: 0.6, threshold=0.7)[0]


def with_turn(row, change):
    changed = copy.deepcopy(row)
    change(changed)
    return changed


def find(rows, wanted):
    return next(row for row in rows if wanted(row))


def test_the_verifier_notices_what_is_broken():
    rows = rows_of(NUM_ROWS)
    said = find(
        rows, lambda r: any(isinstance(s["value"], str) for s in r["gold"]["turns"][0]["says"].values())
    )
    chain = find(rows, lambda r: r["gold"]["plan"]["edges"])
    asked = find(rows, lambda r: r["gold"]["turns"][0]["asks"])

    def unsay(row):
        slot, value = next(
            (k, s["value"]) for k, s in row["gold"]["turns"][0]["says"].items() if isinstance(s["value"], str)
        )
        row["gold"]["turns"][0]["says"][slot]["value"] = value + " zyx"

    def drop_edge(row):
        row["gold"]["plan"]["edges"].pop()

    def drop_tool(row):
        row["tools"] = row["tools"][:0]

    def break_argument(row):
        step = row["gold"]["turns"][-1]["steps"][0]
        step["arguments"]["no_such_parameter"] = 1

    def other_text(row):
        row["messages"][2]["content"] = row["messages"][2]["content"].replace("</Reply>", "!!</Reply>")

    def no_record(row):
        row["gold"]["record"] = row["gold"]["record"].replace("<Query>", "")

    def no_question(row):
        turn = row["gold"]["turns"][0]
        new = turn["reply"].replace("?", ".")
        row["messages"][2]["content"] = row["messages"][2]["content"].replace(turn["reply"], new)
        turn["reply"] = new

    for row, change in [
        (said, unsay),
        (chain, drop_edge),
        (said, drop_tool),
        (said, break_argument),
        (said, other_text),
        (said, no_record),
        (asked, no_question),
    ]:
        assert verify_row(row)[0]
        assert not verify_row(with_turn(row, change))[0], change.__name__


def test_a_leaked_value_and_a_forgotten_condition_are_noticed():
    rows = rows_of(NUM_ROWS)
    asked = find(
        rows, lambda r: any(isinstance(s["value"], str) for s in r["gold"]["turns"][0]["asks"].values())
    )
    value = next(s["value"] for s in asked["gold"]["turns"][0]["asks"].values())
    tools = {tool["function"]["name"]: tool["function"] for tool in asked["tools"]}
    queries = queries_of(asked)
    assert dialogue_fault(queries, asked["gold"]["turns"], tools, "en") is None
    queries[0] += f" It is {value}."
    assert "kept back" in dialogue_fault(queries, asked["gold"]["turns"], tools, "en")

    condition = find(rows, lambda r: r["subtask"] == "condition" and len(r["gold"]["turns"]) == 1)
    turns = copy.deepcopy(condition["gold"]["turns"])
    tools = {tool["function"]["name"]: tool["function"] for tool in condition["tools"]}
    for step, text in zip(turns[0]["steps"], list(turns[0]["plan"]), strict=True):
        if step["when"]:
            place = turns[0]["plan"].index(text)
            turns[0]["plan"][place] = text.partition(", ")[2]
    assert dialogue_fault(queries_of(condition), turns, tools, "en") is not None


class Saboteur:
    """The scripted model, but for one role, whose answer it spoils."""

    name = "saboteur"

    def __init__(self, role, answer):
        self.role, self.answer, self.honest = role, answer, ScriptedModel(0)

    def complete(self, request):
        return self.answer if request.role == self.role else self.honest.complete(request)


class Witness:
    """The scripted model, remembering what it was asked."""

    name = "witness"

    def __init__(self):
        self.requests, self.honest = [], ScriptedModel(0)

    def complete(self, request):
        self.requests.append(request)
        return self.honest.complete(request)


def test_prompts_tell_a_model_what_the_grammars_know():
    task = DecompositionTask(settings_of())
    task.toolbox.model = witness = Witness()
    for index in range(24):
        witness.requests.clear()
        row = accepted(task, index)
        prompts = {request.role: request.messages[1]["content"] for request in witness.requests}
        assert set(prompts) >= {"query", "reply", "judge_decomposition"}
        turn, query = row["gold"]["turns"][-1], queries_of(row)[-1]
        assert query in prompts["reply"] and query in prompts["judge_decomposition"]
        if turn["plan"]:
            assert query in prompts["steps"] and all(text in prompts["reply"] for text in turn["plan"])
        for step in turn["steps"]:
            for value in step["arguments"].values():
                assert json.dumps(value, ensure_ascii=False) in prompts["steps"]
        for saying in turn["says"].values():
            assert json.dumps(saying["value"], ensure_ascii=False) in prompts["query"]


@pytest.mark.parametrize(
    ("role", "answer", "reason"),
    [
        ("arguments", "{}", "answer_not_in_schema"),
        ("query", "no JSON", "answer_not_json"),
        ("query", '{"query": " "}', "empty_text"),
        ("query", '{"query": "Do something nice for me."}', "semantic"),
        ("steps", '{"steps": []}', "answer_not_in_schema"),
        ("reply", '{"reply": "<Plan>Step1.x</Plan>"}', "format_marks"),
        ("judge_decomposition", '{"agree": false, "reason": "no"}', "semantic"),
    ],
)
def test_a_bad_answer_rejects_the_attempt_by_reason(role, answer, reason):
    task = DecompositionTask(settings_of("decomposition.subtask=dependency"))
    task.toolbox.model = Saboteur(role, answer)
    reasons = [task.attempt(index, 0) for index in range(12)]
    found = [attempt for attempt in reasons if attempt.reason != "not_applicable"]
    assert found and {attempt.reason for attempt in found} == {reason}
    assert all(attempt.content["plan" if "plan" in attempt.content else "gold"] for attempt in found)
    assert all("detail" in attempt.content for attempt in found)


def test_the_fingerprint_is_of_the_structure_and_the_values():
    from data_synth.operators.plan import Given, Step, single_turn

    def plan(slot, value, tool="a"):
        return single_turn((Step(1, tool, {"x": Given(value, slot)}),))

    assert fingerprint_of(plan("s", 1)) == fingerprint_of(plan("t", 1))
    assert fingerprint_of(plan("s", 1)) != fingerprint_of(plan("s", 2))
    assert fingerprint_of(plan("s", 1)) != fingerprint_of(plan("s", 1, "b"))


def test_records_and_messages_have_the_paper_s_formats():
    for row in rows_of(NUM_ROWS)[:50]:
        assert RECORD.fullmatch(row["gold"]["record"])
        assert all(FORMAT.fullmatch(text) for text in answers_of(row))
        assert row["messages"][0]["role"] == "system"


@pytest.mark.parametrize(
    "override",
    [
        "decomposition.compose.max_atoms=1",
        "decomposition.compose.pair_share=2",
        "decomposition.num_distractors=-1",
        "decomposition.compose.weights.add=-1",
    ],
)
def test_impossible_settings_are_refused(override):
    with pytest.raises(InputError, match=re.escape(override.split("=")[0])):
        settings_of(override)


def test_an_operator_of_weight_0_isn_t_drawn():
    rows = rows_of(40, "decomposition.compose.weights.add=0", "decomposition.compose.weights.mask=0")
    assert not {"add", "mask"} & {name for row in rows for name in row["meta"]["operators"]}
