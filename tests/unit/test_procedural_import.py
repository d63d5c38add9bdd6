"""Importers: Lumos's and WorfBench's rows, and what they do with broken ones."""

import json
from pathlib import Path

import pytest
from procedural_rows import make_task
from task_rows import accepted

from data_synth.tasks.procedural.dependencies import read_references
from data_synth.tasks.procedural.lumos import parse_lumos
from data_synth.tasks.procedural.sources import Imported
from data_synth.tasks.procedural.verify import verify_row
from data_synth.tasks.procedural.worfbench import RowError, parse_worfbench
from recipes.command import InputError

GROUND = (
    "Please ground the given subgoal to corresponding executable actions for solving the given task. The grounded"
    " actions must be the one in available action list.\n\nThe available action list is 'KnowledgeQuery', 'QA'.\n"
    "KnowledgeQuery(query): Capture the relevant webpages according to the query; QA(context, query): Given context,"
    " answer the given query; Calculator(formula): Calculate the input formula.\n\n"
)
SUBGOALS = ("Find the height of K2.", "Find the height of Denali.", "Compute the difference of both heights.")
CALLS = (
    "R1 = KnowledgeQuery(K2); R2 = QA([R1], Question: How high is K2?)",
    "R3 = KnowledgeQuery(Denali); R4 = QA([R3], Question: How high is Denali?)",
    "R5 = Calculator(R2 - R4)",
)
TASK = "How much higher is K2 than Denali?"


def iterative() -> dict:
    messages = []
    for number, (subgoal, calls) in enumerate(zip(SUBGOALS, CALLS, strict=True), 1):
        head = GROUND + f"Task: {TASK} \n" if number == 1 else ""
        said = f"Subgoal to be grounded: Subgoal {number}: {subgoal}"
        if number > 1:
            said += " The grounding could be based on the following results: The execution result is 8611."
        messages += [{"role": "user", "content": head + said + "\n"}, {"role": "assistant", "content": calls}]
    return {"dataset": "complex_qa", "id": "complex_qa_0", "messages": messages}


def planned(*subgoals: str) -> dict:
    text = "; ".join(f"Subgoal {number}: {text}" for number, text in enumerate(subgoals, 1))
    user = f"Please provide a reasonable subgoal-based plan.\nTask: {TASK}; Initial Environment Description: None."
    messages = [{"role": "user", "content": user}, {"role": "assistant", "content": text}]
    return {"dataset": "maths", "id": "maths_0", "messages": messages}


def test_grounded_subgoals_depend_by_their_variables():
    plan = parse_lumos(iterative())
    assert plan.task == TASK
    assert tuple(node.text for node in plan.nodes) == SUBGOALS
    assert [node.actions for node in plan.nodes] == [("KnowledgeQuery", "QA")] * 2 + [("Calculator",)]
    assert set(plan.edges or ()) == {("START", "1"), ("START", "2"), ("1", "3"), ("2", "3"), ("3", "END")}
    assert {c.name for c in plan.own} == {"KnowledgeQuery", "QA", "Calculator"}


def test_planned_subgoals_depend_by_their_words_or_not_at_all():
    plan = parse_lumos(
        planned("Find the country.", "Find the minister of the country identified in Subgoal 1.")
    )
    assert plan.edges == (("START", "1"), ("1", "2"), ("2", "END"))
    assert parse_lumos(planned("Find a.", "Find b.")).edges is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda row: row["messages"].clear(), "no_task"),
        (lambda row: row["messages"][0].update(content="Subgoal to be grounded: Subgoal 1: a"), "no_task"),
        (lambda row: row["messages"][1].update(content="nothing"), "ungrounded_subgoal"),
        (
            lambda row: row["messages"][2].update(content="Subgoal to be grounded: Subgoal 7: a"),
            "subgoals_not_in_order",
        ),
    ],
)
def test_broken_lumos_rows_are_told_apart(change, reason):
    row = iterative()
    change(row)
    with pytest.raises(RowError, match=reason):
        parse_lumos(row)


def worfbench(user: str, answer: str) -> dict:
    said = (("system", "Plan."), ("user", user), ("assistant", answer))
    return {"source": "x", "conversations": [{"role": role, "content": text} for role, text in said]}


ANSWER = "Node:\n1: Look it up.\n2: Say it.\nEdge: (START,1) (1,2) (2,END)"


def test_worfbench_candidates_in_all_their_forms():
    tool = {
        "api_name": "find",
        "api_description": "Finds.",
        "parameters": {"q": {"type": "str"}},
        "required": ["q"],
    }
    tools = repr([tool])
    plan = parse_worfbench(worfbench(f"Task: find it\nThe tool list you can select from: {tools}", ANSWER))
    assert (plan.kind, plan.task, plan.own[0].name) == ("tools", "find it", "find")
    assert plan.own[0].parameters["required"] == ["q"]
    actions = "['Look it up.\\n', 'Say it.', 'Forget it.']"
    plan = parse_worfbench(worfbench(f"Task: find it\nThe action list you can take: {actions}", ANSWER))
    assert plan.kind == "qa"
    assert plan.actions() == ("Look it up.", "Say it.")
    plan = parse_worfbench(worfbench("Find it.The action list you can take: 1. go\n2. stop", ANSWER))
    assert [c.name for c in plan.own] == ["go", "stop"]


@pytest.mark.parametrize(
    ("user", "answer", "reason"),
    [
        ("Task: a", ANSWER, "no_candidates"),
        ("Task: a\nThe action list you can take: go", "no plan", "not_a_workflow"),
        ("The action list you can take: go", ANSWER, "no_task"),
    ],
)
def test_broken_worfbench_rows_are_told_apart(user, answer, reason):
    with pytest.raises(RowError, match=reason):
        parse_worfbench(worfbench(user, answer))


def test_model_text_is_read_and_never_run(tmp_path):
    mark = tmp_path / "ran"
    items = f"[__import__('pathlib').Path({str(mark)!r}).touch()]"
    plan = parse_worfbench(worfbench(f"Task: a\nThe action list you can take: {items}", ANSWER))
    assert plan.own[0].name == items
    assert not mark.exists()


@pytest.mark.parametrize(("task", "language"), [("Task: find it", "en"), ("Task: 找到它", "zh")])
def test_the_language_is_the_tasks(task, language):
    actions = "The action list you can take: ['go', 'stop']"
    assert parse_worfbench(worfbench(f"{task}\n{actions}", ANSWER)).language == language
    row = planned("Find a.", "Find b.")
    row["messages"][0]["content"] = row["messages"][0]["content"].replace(TASK, task)
    assert parse_lumos(row).language == language


def test_a_file_of_rows_becomes_rows(tmp_path):
    path = tmp_path / "lumos.jsonl"
    rows = [
        iterative(),
        planned("Find a.", "Find b with the result of Subgoal 1."),
        planned("Do a.", "Do b."),
    ]
    path.write_text("\n".join(json.dumps(row) for row in [*rows, {"other": 1}]), "utf-8")
    task = make_task(f"procedural.sources=[{path}]", "split=all")
    assert task.subtasks == ("qa",)
    made = [accepted(task, index) for index in range(12)]
    assert {len(row["gold"]["nodes"]) for row in made} == {2, 3}
    for row in made:
        assert verify_row(row) == (True, "ok")
        assert row["meta"]["licence"] == "ODC-BY-1.0"


def test_a_sequence_gets_its_edges_from_references():
    edges = read_references({"steps": ["Find a.", "Find b.", "Add the results of step 1 and step 2."]}, None)
    assert edges == {"edges": [[1, 2], [1, 3], [2, 3]]}


class Contrary:
    """A model that answers the same to everything."""

    name = "contrary"

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def complete(self, request: object) -> str:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('{"edges": [[1, 2]]}', None),
        ('{"edges": [[1, 2], [2, 1]]}', "cyclic"),
        ('{"edges": [[2, 1]]}', "order_deviates"),
        ('{"edges": [[1, 7]]}', "edge_without_node"),
        ('{"edges": [[1]]}', "answer_not_in_schema"),
        ("first this, then that", "answer_not_json"),
    ],
)
def test_what_a_model_says_of_the_edges_is_checked(tmp_path, answer, reason):
    path = tmp_path / "lumos.jsonl"
    path.write_text(json.dumps(planned("Find a.", "Find b.")), "utf-8")
    task = make_task(f"procedural.sources=[{path}]", "split=all")
    task.toolbox.__dict__["model"] = Contrary(answer)
    assert task.attempt(0, 0).reason == reason


def test_an_action_that_nobody_offers_is_missed(tmp_path):
    row = iterative()
    row["messages"][-1]["content"] = "R5 = Subtract(R2, R4)"
    path = tmp_path / "lumos.jsonl"
    path.write_text(json.dumps(row), "utf-8")
    assert (
        make_task(f"procedural.sources=[{path}]", "split=all").attempt(0, 0).reason == "missing_gold_action"
    )


@pytest.mark.parametrize("text", ['{"other": 1}', "{", "[1, 2]", ""])
def test_a_file_without_rows_is_named(tmp_path, text):
    path = tmp_path / "rows.json"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match=r"procedural\.sources="):
        Imported(path).offers("qa", "en")


SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "worfbench" / "gold_traj"


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no WorfBench rows at {SHARED}")
@pytest.mark.parametrize(
    ("name", "kind", "least"), [("lumos", "qa", 450), ("toolbench", "tools", 110), ("wikihow", "qa", 210)]
)
def test_worfbenchs_own_files_can_be_read(name, kind, least):
    plans = Imported(SHARED / name / "graph_eval.json").plans
    assert set(plans) == {(kind, "en")}
    assert len(plans[kind, "en"]) >= least
