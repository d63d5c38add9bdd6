"""Workflow rows hold out tools: the split's label and the check for leaks see every candidate of the prompt."""

import json

import pytest
from procedural_rows import make_task, some_rows

from data_synth.selection.leaks import check_splits
from data_synth.tools.collection import tool_split
from recipes.command import InputError

TOOLS = "procedural.subtask=tools"


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def test_the_candidates_of_both_files_are_compared(tmp_path):
    row = some_rows(1, TOOLS, "split=all")[0]
    shared = row["gold"]["candidates"][0]
    gold = {**row["gold"], "candidates": [shared]}
    other = {**row, "id": "other", "gold": gold, "meta": {**row["meta"], "instance": "other"}}
    mine, yours = write(tmp_path / "mine.jsonl", [row]), write(tmp_path / "yours.jsonl", [other])
    with pytest.raises(InputError, match=f"share 1 tool, such as {shared} of rows {row['id']} and other"):
        check_splits([mine, yours], 100)


def test_actions_of_questions_are_in_every_split(tmp_path):
    rows = some_rows(8, "procedural.subtask=qa", "split=all")
    halves = [rows[:4], rows[4:]]
    assert set.intersection(*({n for row in half for n in row["gold"]["candidates"]} for half in halves))
    one, other = (write(tmp_path / f"{n}.jsonl", half) for n, half in enumerate(halves))
    contents = check_splits([one, other], 100)
    assert [part.tools for part in contents] == [{}, {}]


def test_runs_of_two_splits_share_no_tool(tmp_path):
    files = [
        write(tmp_path / f"{split}.jsonl", some_rows(12, TOOLS, f"split={split}", "test_share=0.4"))
        for split in ("train", "test")
    ]
    assert all(len(part.tools) > 20 for part in check_splits(files, 100))


def test_with_all_splits_a_row_is_labelled_by_every_tool_that_it_shows():
    task = make_task(TOOLS, "split=all")
    share, validation = task.settings.test_share, task.settings.validation_share
    beyond_the_plan = 0
    for row in some_rows(40, TOOLS, "split=all"):
        splits = {tool_split(name, share, validation) for name in row["gold"]["candidates"]}
        expected = next((split for split in ("test", "validation") if split in splits), "train")
        assert row["meta"]["split"] == expected
        beyond_the_plan += task.toolbox.split_of(row["meta"]["tools"]) != expected
    assert beyond_the_plan


def test_tools_of_an_imported_plan_are_distractors_in_their_split_alone(tmp_path):
    """The file's plans are labelled by their instance; ours show none of its tools that another split has."""
    parameters = {"type": "object", "properties": {"x": {"type": "string"}}}
    offered = str([{"name": f"tool_{n}", "parameters": parameters} for n in range(40)])
    said = [
        {"role": "user", "content": f"Task: do it\nThe action list you can take: {offered}"},
        {"role": "assistant", "content": "Node:\n1: tool_1\n2: tool_2\nEdge: (START,1) (1,2) (2,END)"},
    ]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"source": "toolbench", "conversations": said}]), "utf-8")
    sources = f"procedural.sources=[decomposition,{path}]"
    task = make_task(TOOLS, sources, "split=test", "test_share=0.4")
    names = {candidate.name for candidate in task._pool("tools", "en")}
    assert 5 < len({name for name in names if name.startswith("tool_")}) < 35
    assert {tool_split(name, 0.4, task.settings.validation_share) for name in names} == {"test"}
