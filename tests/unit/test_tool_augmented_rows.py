"""Rows of the task: sound, of every kind, the same in any process."""

import json
import re
from collections import Counter

import pytest
from task_rows import accepted_rows
from tool_augmented_rows import make_task, shared_rows

from data_synth.filters.nulls import holds_nulls
from data_synth.llm.scripted import ScriptedModel
from data_synth.tasks.tool_augmented.verify import parse, verify, verify_row
from recipes.command import InputError


def test_every_row_is_sound():
    for row in shared_rows():
        assert verify_row(row) == (True, "ok"), row["id"]


def test_rows_take_turns_over_subtasks_and_languages():
    assert Counter(row["subtask"] for row in shared_rows()) == dict.fromkeys(
        ("general", "dependency", "condition", "context_inheritance"), 40
    )
    assert Counter(row["meta"]["language"] for row in shared_rows()) == {"en": 80, "zh": 80}


def test_all_four_transitions_occur_and_each_row_ends_with_a_summary():
    seen = Counter()
    for row in shared_rows():
        seen.update(row["meta"]["transitions"])
        assert row["gold"]["turns"][-1]["transition"] == "termination"
        assert [call["name"] for call in row["gold"]["turns"][-1]["calls"]] == ["reply"]
    assert min(seen[name] for name in ("standard", "branch", "clarification", "termination")) >= 10


def test_subtasks_show_what_they_are_named_for():
    for row in shared_rows():
        plan, turns = row["gold"]["plan"], row["gold"]["turns"]
        users = sum(message["role"] == "user" for message in row["messages"])
        match row["subtask"]:
            case "dependency":
                sources = [source for turn in turns for call in turn["sources"] for source in call.values()]
                assert any(source["from"] == "observation" for source in sources)
            case "condition":
                assert any(step.get("when") for step in plan["steps"])
            case "context_inheritance":
                assert users > 1


def test_both_branches_are_taken():
    taken = Counter()
    for row in shared_rows():
        called = {step for turn in row["gold"]["turns"] for step in turn["step_ids"]}
        for step in row["gold"]["plan"]["steps"]:
            if step.get("when"):
                taken[step["id"] in called] += 1
    assert min(taken[True], taken[False]) >= 8


def test_nothing_that_changes_the_world_is_done_twice():
    for row in shared_rows():
        effects = {
            tool["name"]: tool["hints"]["effect"]["action"] for tool in row["gold"]["simulator"]["tools"]
        }
        steps = Counter(step for turn in row["gold"]["turns"] for step in turn["step_ids"])
        for step, times in steps.items():
            action = effects[row["gold"]["plan"]["steps"][step - 1]["tool"]]
            assert times == 1 or action in ("get", "list", "search", "compute")


def test_calls_have_no_nulls_and_thoughts_differ():
    thoughts = []
    for row in shared_rows():
        for message in row["messages"]:
            if message["role"] == "assistant":
                thought, calls = parse(message["content"])
                thoughts.append(thought)
                assert not holds_nulls(calls)
    assert len(set(thoughts)) >= 0.85 * len(thoughts)


def test_messages_are_in_the_rows_language():
    for row in shared_rows():
        chinese = row["meta"]["language"] == "zh"
        for message in row["messages"]:
            if message["role"] == "user":
                assert bool(re.search(r"[\u4e00-\u9fff]", message["content"])) == chinese, message["content"]


def test_independent_calls_share_a_message():
    sizes = Counter(len(turn["calls"]) for row in shared_rows() for turn in row["gold"]["turns"])
    assert sum(count for size, count in sizes.items() if size > 1) >= 20


def test_the_number_of_distractors_is_the_settings():
    for number in (0, 1, 7):
        for row in accepted_rows(make_task(f"tool_augmented.num_distractors={number}"), 8):
            golden = {step["tool"] for step in row["gold"]["plan"]["steps"]}
            assert len(row["tools"]) == len(golden) + number + 1  # reply


def test_the_same_seed_gives_the_same_row_whatever_was_asked_before():
    task, fresh = make_task("seed=3"), make_task("seed=3")
    backwards = {index: task.attempt(index, 0) for index in (5, 2, 9, 0)}
    for index, attempt in backwards.items():
        assert json.dumps(fresh.attempt(index, 0).content) == json.dumps(attempt.content)
    assert json.dumps(make_task("seed=4").attempt(0, 0).content) != json.dumps(backwards[0].content)


def test_without_a_judge_rows_are_still_sound():
    for row in accepted_rows(make_task("filters.judge=false"), 8):
        assert verify_row(row) == (True, "ok")


class Writer(ScriptedModel):
    """The grammars, as a model of another name: the simulator then asks it for first answers."""

    name = "writer"

    def __init__(self):
        super().__init__(7)
        self.roles = Counter()

    def complete(self, request):
        self.roles[request.role] += 1
        return super().complete(request)


def test_rows_whose_observations_a_model_wrote_are_sound():
    task, writer = make_task("language=both"), Writer()
    task.toolbox.__dict__["model"] = writer
    for row in accepted_rows(task, 24):
        assert verify_row(row) == (True, "ok"), row["id"]
        assert row["meta"]["model"] == "writer"
    assert {"observation", "reasoning", "summary", "clarify", "judge_trajectory"} <= set(writer.roles)


class Liar(Writer):
    """Answers every role but one as it should."""

    def __init__(self, role, answer):
        super().__init__()
        self.role, self.answer = role, answer

    def complete(self, request):
        return self.answer if request.role == self.role else super().complete(request)


@pytest.mark.parametrize(
    ("role", "answer", "reason"),
    [
        ("reasoning", "no JSON", "answer_not_json"),
        ("reasoning", '{"thought": "I do something."}', "inconsistent_reasoning"),
        ("reasoning", '{"thought": "a <action> b"}', "format_marks"),
        ("summary", '{"reply": " "}', "empty_text"),
        ("observation", '{"nothing": 1}', "answer_not_in_schema"),
        ("judge_trajectory", '{"sound": false, "problem": "it lies"}', "audit"),
    ],
)
def test_a_model_that_misbehaves_costs_the_attempt_and_says_why(role, answer, reason):
    task = make_task()
    task.toolbox.__dict__["model"] = Liar(role, answer)
    reasons = Counter(task.attempt(index, 0).reason for index in range(16))
    assert reasons[reason] >= 10 and reasons[None] == 0


def test_gold_answers_verify_and_others_dont():
    for row in shared_rows():
        answers = [m["content"] for m in row["messages"] if m["role"] == "assistant"]
        for number, answer in enumerate(answers):
            assert verify(row["gold"], answer, number) == (True, "ok")
            other = answers[number - 1]
            same_calls = row["gold"]["turns"][number]["calls"] == row["gold"]["turns"][number - 1]["calls"]
            replies = parse(other)[1][0]["name"] == parse(answer)[1][0]["name"] == "reply"
            assert verify(row["gold"], other, number)[0] == (same_calls or replies)


@pytest.mark.parametrize(
    "override", ["tool_augmented.num_distractors=-1", "tool_augmented.compose.max_atoms=1"]
)
def test_impossible_settings_are_refused_by_name(override):
    with pytest.raises(InputError, match=re.escape(override.split("=")[0])):
        make_task(override)
