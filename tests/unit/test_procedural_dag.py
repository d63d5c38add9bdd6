"""Workflow graphs: closing, the topological plan, WorfBench's format, the paper's four rules."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from procedural_rows import orders

from data_synth.tasks.procedural.dag import GraphError, close, ordered, read, topological_order, write
from data_synth.tasks.procedural.rules import RULES, broken
from data_synth.tasks.procedural.workflow import Candidate, GoldPlan, Node, Workflow


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """A number of nodes, and edges between them in any direction."""
    size = draw(st.integers(1, 6))
    pairs = [(a, b) for a in range(1, size + 1) for b in range(1, size + 1) if a != b]
    return size, draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []


@given(graphs())
def test_the_plan_is_the_smallest_of_all_orders(graph):
    size, pairs = graph
    edges = close(size, pairs)
    allowed = orders(size, edges)
    found = topological_order(size, edges)
    assert found == (list(allowed[0]) if allowed else None)


@given(graphs())
def test_closing_joins_every_node_to_both_ends(graph):
    size, pairs = graph
    edges = close(size, pairs)
    assert {(int(a), int(b)) for a, b in edges if a != "START" and b != "END"} == set(pairs)
    for number in map(str, range(1, size + 1)):
        assert any(b == number for _, b in edges)
        assert any(a == number for a, _ in edges)
        assert (("START", number) in edges) == all(b != int(number) for _, b in pairs)


TEXT = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp", "Zs")), min_size=1, max_size=30)


@given(graphs(), st.data())
def test_what_is_written_is_read_back(graph, data):
    size, pairs = graph
    nodes = data.draw(st.lists(TEXT, min_size=size, max_size=size))
    edges = close(size, pairs)
    assert read(write(nodes, edges)) == (nodes, edges)


def test_worfbench_variants_are_read():
    text = "<think>hm</think>Nodes:\n1. look\n2. leap\nGraph:\nEdges:\n(START,1), (1, 2),\n(2,END)."
    assert read(text) == (["look", "leap"], (("START", "1"), ("1", "2"), ("2", "END")))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no line"),
        ("Node:\n1: a\n(START,1)", "no line"),
        ("Node:\n2: a\nEdge: (START,1) (1,END)", "position"),
        ("Node:\nfirst a\nEdge: (START,1) (1,END)", "not a node"),
        ("Node:\n1: a\nEdge: (START,1) (1,END) and so on", "not edges"),
        ("Node:\n1: a\nEdge: (START,2) (1,END)", "no node"),
        ("Node:\n1: a\nEdge: (START,1) (START,1) (1,END)", "twice"),
        ("Node:\n1: a\nEdge:", "no edges"),
    ],
)
def test_broken_answers_are_told_apart(text, reason):
    with pytest.raises(GraphError, match=reason):
        read(text)


def gold_of(*actions: str) -> GoldPlan:
    nodes = tuple(Node(f"do {name}", (name,)) for name in actions)
    return GoldPlan("tools", "a task", nodes, None, (), "en", "here", "MIT", "")


def workflow_of(gold: GoldPlan, edges: list[tuple[str, str]], offered: str = "abcx") -> Workflow:
    return Workflow(gold.nodes, ordered(edges), tuple(Candidate(name) for name in offered))


CHAIN = [("START", "1"), ("1", "2"), ("2", "3"), ("3", "END")]
FORK = [("START", "1"), ("START", "2"), ("1", "3"), ("2", "3"), ("3", "END")]


@pytest.mark.parametrize(
    ("edges", "offered", "reason"),
    [
        (CHAIN, "abcx", None),
        (FORK, "abcx", None),
        (CHAIN, "abx", "missing_gold_action"),
        ([("START", "1"), ("1", "2"), ("2", "1"), ("2", "3"), ("3", "END")], "abc", "cyclic"),
        ([("START", "2"), ("2", "1"), ("1", "3"), ("3", "END")], "abc", "order_deviates"),
        ([("START", "1"), ("1", "2"), ("2", "END"), ("3", "END")], "abc", "start_end_not_unique"),
        ([("START", "1"), ("1", "2"), ("1", "3"), ("3", "END")], "abc", "start_end_not_unique"),
    ],
)
def test_each_rule_rejects_its_fault(edges, offered, reason):
    gold = gold_of("a", "b", "c")
    assert broken(gold, workflow_of(gold, edges, offered)) == reason


def test_the_rules_are_the_papers_four():
    names = {rule.__name__ for rule in RULES}
    assert names == {"missing_gold_action", "cyclic", "order_deviates", "start_end_not_unique"}


def test_a_node_that_does_nothing_of_the_gold_plan_misses_an_action():
    gold = gold_of("a", "b", "c")
    nodes = (*gold.nodes[:2], Node("do c", ("x",)))
    workflow = Workflow(nodes, ordered(CHAIN), tuple(Candidate(name) for name in "abcx"))
    assert broken(gold, workflow) == "missing_gold_action"


def test_the_edges_of_a_text_are_sorted_for_any_order_of_making():
    edges = list(close(9, [(1, 2), (2, 5), (3, 5), (5, 9), (4, 9)]))
    shuffled = Random(0).sample(edges, len(edges))
    assert write(list("abcdefghi"), shuffled) == write(list("abcdefghi"), edges)
