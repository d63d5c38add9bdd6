"""The frozen sets of MagicEval: what is in them, that training never sees it, and that they can be made again."""

import json
from collections import Counter

import jsonschema
import pytest
import task_rows
from commands import must_run
from magic_eval_sets import FROZEN, ROWS, options

from data_synth.magic_eval import SCENARIOS, TASKS, TEST_SHARE, frozen
from data_synth.tools.collection import tool_split
from evaluation.benchmarks import Source, load
from evaluation.benchmarks._magic_eval_set import FOLDER
from recipes.command import InputError, compose

NAMES = list(TASKS)
SPEAKS = "reply"


def train_rows(name: str) -> list[dict]:
    task = task_rows.make_task(TASKS[name], "split=train", "language=both")
    return task_rows.accepted_rows(task, 24)


@pytest.mark.parametrize("name", NAMES)
def test_each_scenario_has_thirty_rows_a_language(name):
    rows = FROZEN[name]["rows"]
    counts = Counter((row["scenario"], row["language"]) for row in rows)
    assert counts == {(scenario, language): 30 for scenario in SCENARIOS for language in ("en", "zh")}
    assert len(ROWS[name]) == len({row["instance"] for row in rows}) == 240
    assert all(row["id"].startswith(f"{row['scenario']}/{row['language']}/") for row in rows)


@pytest.mark.parametrize("name", NAMES)
def test_no_tool_and_no_instance_is_trainings(name):
    shown = {tool for row in FROZEN[name]["rows"] for tool in row["tools"]} - {SPEAKS}
    assert len(shown) > 30
    assert {tool_split(tool, TEST_SHARE) for tool in shown} == {"test"}
    assert compose("synth", []).test_share == TEST_SHARE
    trained = train_rows(name)
    assert {row["meta"]["split"] for row in trained} == {"train"}
    assert not shown & {tool["function"]["name"] for row in trained for tool in row["tools"]}
    assert not {row["instance"] for row in FROZEN[name]["rows"]} & {
        row["meta"]["instance"] for row in trained
    }


def test_wanted_calls_fit_their_tools_schemas():
    tools = FROZEN["magic_eval_tool"]["tools"]
    num_calls = 0
    for row in FROZEN["magic_eval_tool"]["rows"]:
        for call in (call for turn in row["wanted"] for call in turn):
            assert call["name"] in row["tools"]
            schema = tools[row["language"]][call["name"]]["parameters"]
            assert jsonschema.Draft202012Validator(schema).is_valid(call["arguments"])
            num_calls += call["name"] != SPEAKS
    assert num_calls > 500


def test_scenarios_are_what_they_are_called():
    rows = FROZEN["magic_eval_tool"]["rows"]
    of = {scenario: [row for row in rows if row["scenario"] == scenario] for scenario in SCENARIOS}

    def users(row):
        return sum(message["role"] == "user" for message in row["messages"])

    assert all(len(row["wanted"]) > 2 for row in of["dependency"])  # a call waits for another's answer
    assert all(users(row) > 1 for row in of["context_inheritance"])
    plans = [row for row in FROZEN["magic_eval_plan"]["rows"] if row["scenario"] == "condition"]
    marks = ("If ", "if ", "如果")
    assert all(any(mark in step for step in row["wanted"][-1] for mark in marks) for row in plans)


def test_a_frozen_set_that_was_changed_is_refused(tmp_path, monkeypatch):
    changed = (FOLDER / "magic_eval_tool.json").read_text("utf-8").replace("general/en/000", "general/en/0OO")
    (tmp_path / "magic_eval_tool.json").write_text(changed, "utf-8")
    source = Source(None, None, options=options("magic_eval_tool"))
    monkeypatch.setattr("evaluation.benchmarks._magic_eval_set.FOLDER", tmp_path)
    with pytest.raises(InputError, match=r"^data=null: .*isn't the frozen set"):
        load("magic_eval_tool", source)
    given = Source(None, str(tmp_path / "magic_eval_tool.json"), options=options("magic_eval_tool"))
    assert load("magic_eval_tool", given).ids[0] == "general/en/0OO"


def test_rows_are_frozen_to_the_same_bytes_whatever_made_them():
    rows = task_rows.accepted_rows(task_rows.make_task("tool_augmented", "split=test", "language=both"), 8)
    content = frozen("magic_eval_tool", rows)
    assert frozen("magic_eval_tool", json.loads(json.dumps(rows))) == content
    assert [row["id"] for row in json.loads(content)["rows"]][:5] == [
        "general/en/000",
        "dependency/en/000",
        "condition/en/000",
        "context_inheritance/en/000",
        "general/zh/000",
    ]


@pytest.mark.slow
def test_the_sets_are_made_again_byte_for_byte(tmp_path):
    must_run("data_synth.magic_eval", "num_workers=2", f"output_dir={tmp_path}")
    for name in NAMES:
        assert (tmp_path / f"{name}.json").read_bytes() == (FOLDER / f"{name}.json").read_bytes()
