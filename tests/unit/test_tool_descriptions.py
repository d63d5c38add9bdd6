"""Candidate tools are described in the language of their row, in all tasks that show tools."""

import decomposition_rows
import long_horizon_rows
import procedural_rows
import pytest
import tool_augmented_rows
from task_rows import accepted_rows

from data_synth.tools.catalogue import load_catalogue

CATALOGUE = load_catalogue()


def descriptions(tools):
    """Name to description."""
    functions = [tool["function"] for tool in tools if tool["function"]["name"] != "reply"]
    return {function["name"]: function["description"] for function in functions}


MADE = {
    "decomposition": lambda language: decomposition_rows.rows_of(4, f"language={language}"),
    "tool_augmented": lambda language: accepted_rows(
        tool_augmented_rows.make_task(f"language={language}"), 4
    ),
    "long_horizon": lambda language: long_horizon_rows.some_rows(
        2, f"language={language}", "long_horizon.difficulty=short"
    ),
}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("task", MADE)
def test_tools_of_a_row_are_described_in_its_language(task, language):
    for row in MADE[task](language):
        shown = descriptions(row["tools"])
        assert len(shown) > 1
        for name, text in shown.items():
            tool = CATALOGUE[name]
            assert text == (tool.description if language == "en" else tool.hints["description_zh"])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_candidates_in_a_workflows_prompt_are_described_in_its_language(language):
    rows = procedural_rows.some_rows(8, f"language={language}", "procedural.subtask=tools")
    for row in rows:
        prompt = row["messages"][1]["content"]
        for name in row["gold"]["candidates"]:
            texts = {"en": CATALOGUE[name].description, "zh": CATALOGUE[name].hints["description_zh"]}
            assert [code for code, text in texts.items() if text in prompt] == [language], name
