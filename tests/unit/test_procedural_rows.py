"""Rows of task=procedural: verified from scratch, the same in any process, with real branches and joins."""

import copy
import json
import re
from collections import Counter

import pytest
from procedural_rows import make_task, orders, some_rows
from task_rows import accepted

from data_synth.tasks.procedural.knowledge import load_knowledge
from data_synth.tasks.procedural.verify import verify, verify_row
from recipes.command import InputError

BOTH = ("language=both",)


def test_every_row_passes_its_verifier():
    for row in some_rows(60, *BOTH):
        assert verify_row(row) == (True, "ok"), row["id"]
        assert verify(row["gold"], row["messages"][-1]["content"]) == (True, "ok")


def test_rows_branch_and_join():
    inner = [
        [(a, b) for a, b in row["gold"]["edges"] if a != "START" and b != "END"]
        for row in some_rows(60, *BOTH)
    ]
    branching = sum(max(Counter(a for a, _ in edges).values(), default=0) > 1 for edges in inner)
    joining = sum(max(Counter(b for _, b in edges).values(), default=0) > 1 for edges in inner)
    assert branching >= 12
    assert joining >= 12


def test_sizes_cover_the_settings():
    sizes = {kind: set() for kind in ("qa", "tools")}
    for row in some_rows(60, *BOTH):
        sizes[row["subtask"]].add(len(row["gold"]["nodes"]))
    assert sizes["qa"] == set(range(2, 11))
    assert sizes["tools"] <= set(range(2, 13))
    assert max(sizes["tools"]) >= 10


def test_the_gold_order_is_the_smallest():
    for row in some_rows(60, *BOTH):
        if len(row["gold"]["nodes"]) <= 6:
            assert row["gold"]["order"] == list(orders(len(row["gold"]["nodes"]), row["gold"]["edges"])[0])


def test_candidates_hold_the_needed_ones_and_distractors():
    for row in some_rows(60, *BOTH):
        needed = {name for actions in row["gold"]["actions"] for name in actions}
        assert needed <= set(row["gold"]["candidates"])
        assert 3 <= row["meta"]["distractors"] == len(row["gold"]["candidates"]) - len(needed) <= 8


def test_the_same_row_in_another_process_is_the_same_bytes():
    task = make_task(*BOTH)
    for index in (0, 1, 6, 7):
        assert json.dumps(accepted(task, index)) == json.dumps(some_rows(60, *BOTH)[index])


def test_rows_speak_their_language():
    for row in some_rows(60, *BOTH):
        chinese = bool(re.search("[\u4e00-\u9fff]", row["messages"][2]["content"]))
        assert chinese == (row["meta"]["language"] == "zh")


def test_questions_name_their_entities_and_relations_only():
    names = {name for kind in load_knowledge().entities.values() for entity in kind for name in entity.names}
    for row in some_rows(60, *BOTH):
        if row["subtask"] == "qa":
            inputs = [i for op in row["gold"]["plan"]["operations"] for i in op["inputs"]]
            for name in inputs:
                if isinstance(name, str):
                    assert name in names
                    assert name in row["messages"][1]["content"]


# What the verifier refuses

DAMAGES = {
    "edge left out": lambda gold, text: re.sub(r" \(\d+,END\)$", "", text),
    "nodes swapped": lambda gold, text: text.replace("\n1: ", "\n1: and "),
    "cut off": lambda gold, text: text[: len(text) // 2],
    "more after it": lambda gold, text: text + "\nDone.",
    "cycle": lambda gold, text: text + f" ({len(gold['nodes'])},1)",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_answer_is_refused(damage):
    for row in some_rows(60, *BOTH)[:20]:
        text = DAMAGES[damage](row["gold"], row["messages"][-1]["content"])
        assert not verify(row["gold"], text)[0]


def test_nodes_may_be_listed_in_another_order():
    gold = {
        "nodes": ["a", "b", "c"],
        "edges": [["START", "1"], ["START", "2"], ["1", "3"], ["2", "3"], ["3", "END"]],
    }
    assert verify(gold, "Node:\n1: B\n2: a.\n3: c\nEdge: (START,1) (START,2) (1,3) (2,3) (3,END)")[0]
    assert not verify(gold, "Node:\n1: b\n2: c\n3: a\nEdge: (START,1) (START,2) (1,3) (2,3) (3,END)")[0]


def test_a_similarity_matches_other_words():
    gold = {"nodes": ["find a hotel", "pay"], "edges": [["START", "1"], ["1", "2"], ["2", "END"]]}
    text = "Node:\n1: look for a hotel\n2: pay it\nEdge: (START,1) (1,2) (2,END)"

    def shared(a: str, b: str) -> float:
        mine, yours = set(a.split()), set(b.split())
        return len(mine & yours) / len(yours)

    assert not verify(gold, text)[0]
    assert verify(gold, text, similarity=shared)[0]
    assert not verify(gold, text.replace("hotel", "train").replace("a ", ""), similarity=shared)[0]


@pytest.mark.parametrize(
    "text", ["", "Node:", "Node:\n" * 50_000, "(START,1)" * 1000, "\x00", "Node:\n1: \nEdge: "]
)
def test_no_text_makes_the_verifier_raise(text):
    assert verify(some_rows(60, *BOTH)[0]["gold"], text)[0] is False


def test_a_row_whose_plan_says_otherwise_is_refused():
    refused = 0
    for row in some_rows(60, *BOTH):
        edges = [pair for pair in row["gold"]["edges"] if "START" not in pair and "END" not in pair]
        if not edges or len(row["gold"]["nodes"]) < 3:
            continue
        other = copy.deepcopy(row)
        other["gold"]["candidates"].remove(other["gold"]["actions"][0][0])
        assert not verify_row(other)[0]
        other = copy.deepcopy(row)
        source = other["gold"]["plan"]
        for step in source.get("operations", ()):
            step["inputs"] = [i for i in step["inputs"] if isinstance(i, str)]
        for step in source.get("steps", ()):
            step["arguments"], step["when"] = {}, []
        assert verify_row(other) == (False, "the edges aren't the plan's dependencies")
        refused += 1
    assert refused > 20


# Settings


@pytest.mark.parametrize(
    "override",
    [
        "procedural.sources=[]",
        "procedural.sources=[questions,questions]",
        "procedural.num_nodes.qa.min=1",
        "procedural.num_nodes.tools.max=1",
        "procedural.num_distractors.min=-1",
        "procedural.related_share=1.5",
        "procedural.sources=[nowhere.jsonl]",
    ],
)
def test_bad_settings_are_named(override):
    with pytest.raises(InputError, match=override.split("=")[0].replace(".", r"\.")):
        make_task(override)


def test_a_subtask_without_a_source_is_named():
    with pytest.raises(InputError, match=r"procedural\.subtask=tools"):
        make_task("procedural.subtask=tools", "procedural.sources=[questions]")
