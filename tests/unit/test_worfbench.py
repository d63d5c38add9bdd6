"""WorfBench's F1: the published evaluator's verdict, and a mended one against a search over all there is."""

from itertools import combinations, islice, permutations

import numpy as np
import pytest
import worfbench_official as official
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.worfbench import Graph, chain_f1, graph_f1, read, topological_orders

CHAIN = "Node:\n1: boil water\n2: add tea\n3: pour\nEdge: (START,1) (1,2) (2,3) (3,END)"
WIDE = "Node:\n1: a\n2: b\n3: c\nEdge: (START,1) (START,2) (START,3) (1,END) (2,END) (3,END)"
LONG = "Node:\n{}\nEdge: (START,1) {} (9,END)".format(
    "\n".join(f"{n}: step {n}" for n in range(1, 10)), " ".join(f"({n},{n + 1})" for n in range(1, 9))
)


def equality(pred, gold):
    """Cosines of texts that are the same or have nothing in common."""
    return np.array([[float(a == b) for b in gold.nodes] for a in pred.nodes])


def scores(pred_text, gold_text, mode):
    pred, gold = read(pred_text), read(gold_text)
    cosines = equality(pred, gold)
    return chain_f1(pred, gold, cosines, mode), graph_f1(pred, gold, cosines, mode)


@st.composite
def workflows(draw, most_nodes=11):
    """Some nodes, texts from few words, and edges from smaller to larger numbers."""
    num = draw(st.integers(1, most_nodes))
    texts = draw(st.lists(st.sampled_from("abcdefgh"), min_size=num, max_size=num))
    pairs = list(combinations(range(num + 2), 2))
    edges = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=14, unique=True))
    return Graph(("START", *texts, "END"), tuple(edges))


@st.composite
def cosine_tables(draw):
    """A cosine for each pair of words, all different, so that one matching is the best."""
    words = ["START", "END", *"abcdefgh"]
    values = draw(st.permutations(range(100)))
    return {
        (a, b): 1.0 if a == b else values[10 * i + j] / 100
        for i, a in enumerate(words)
        for j, b in enumerate(words)
    }


def as_official(graph):
    return {"nodes": list(graph.nodes), "edges": list(graph.edges)}


@settings(max_examples=50)
@given(workflows(most_nodes=8), workflows(most_nodes=5), cosine_tables())
def test_official_is_what_the_published_evaluator_says(pred, gold, table):
    cosines = np.array([[table[a, b] for b in gold.nodes] for a in pred.nodes])
    arguments = as_official(pred), as_official(gold), lambda a, b: table[a, b]
    assert chain_f1(pred, gold, cosines, "official") == pytest.approx(official.t_eval_nodes(*arguments))
    assert graph_f1(pred, gold, cosines, "official") == pytest.approx(official.t_eval_graph(*arguments))


def test_official_takes_a_large_gold_as_it_is_listed():
    gold = read(LONG)
    assert chain_f1(gold, gold, equality(gold, gold), "official") == pytest.approx(
        official.t_eval_nodes(as_official(gold), as_official(gold), lambda a, b: float(a == b))
    )
    assert scores(LONG, LONG, "official")[0] < 1.0 == scores(LONG, LONG, "fixed")[0]


def first_orders(gold):
    """Filtered permutations: the slow way to the topological orders."""
    edges = set(gold.edges)
    orders = permutations(range(1, len(gold.nodes) - 1))
    return [list(o) for o in orders if not any((b, a) in edges for a, b in combinations(o, 2))][:20]


@settings(max_examples=60)
@given(workflows(most_nodes=4), workflows(most_nodes=4), st.integers(0, 10**6))
def test_fixed_chain_equals_a_search_over_matchings_and_orders(pred, gold, seed):
    cosines = np.random.default_rng(seed).uniform(0.3, 1.0, (len(pred.nodes), len(gold.nodes)))
    rows, inner = range(1, len(pred.nodes) - 1), range(1, len(gold.nodes) - 1)
    matchings = [
        {i: j for i, j in zip(rows, targets, strict=True) if j and cosines[i, j] > 0.6}
        for targets in permutations([*inner, *(0 for _ in rows)], len(rows))
    ]
    best = max(matchings, key=lambda matching: sum(cosines[i, j] for i, j in matching.items()))
    longest = 0
    for order in first_orders(gold):
        places = [order.index(best[i]) for i in sorted(best)]
        for size in range(longest + 1, len(places) + 1):
            if any(list(some) == sorted(some) for some in combinations(places, size)):
                longest = size
    wanted = 2 * longest / (len(rows) + len(inner))
    assert chain_f1(pred, gold, cosines, "fixed") == pytest.approx(wanted)


@settings(max_examples=60)
@given(workflows(most_nodes=6))
def test_orders_are_the_first_of_them_smallest_first(gold):
    assert list(islice(topological_orders(gold), 20)) == first_orders(gold)


@given(workflows())
def test_the_gold_is_its_own_best_answer(gold):
    cosines = equality(gold, gold)
    assert chain_f1(gold, gold, cosines, "fixed") == pytest.approx(1.0)


@settings(max_examples=40)
@given(
    workflows(most_nodes=6), workflows(most_nodes=6), cosine_tables(), st.sampled_from(["official", "fixed"])
)
def test_scores_stay_between_0_and_1(pred, gold, table, mode):
    cosines = np.array([[table[a, b] for b in gold.nodes] for a in pred.nodes])
    assert 0.0 <= chain_f1(pred, gold, cosines, mode) <= 1.0
    assert 0.0 <= graph_f1(pred, gold, cosines, mode) <= 1.0


def test_nothing_in_common_is_a_chain_of_one_officially():
    other = CHAIN.replace("boil water", "x").replace("add tea", "y").replace("pour", "z")
    assert scores(other, CHAIN, "official")[0] == pytest.approx(1 / 3)
    assert scores(other, CHAIN, "fixed")[0] == 0.0


def test_reversed_nodes_lose_the_chain_and_renumbered_ones_keep_the_fixed_graph():
    renumbered = "Node:\n1: pour\n2: add tea\n3: boil water\nEdge: (START,3) (3,2) (2,1) (1,END)"
    assert scores(renumbered, CHAIN, "fixed") == (pytest.approx(1 / 3), 1.0)
    assert scores(renumbered, CHAIN, "official")[1] < 1.0


@pytest.mark.parametrize("order", list(permutations("abc")))
def test_any_order_of_independent_nodes_is_a_whole_chain(order):
    text = WIDE
    for name, place in zip(order, (1, 2, 3), strict=True):
        text = text.replace(f"{place}: {'abc'[place - 1]}\n", f"{place}: {name}\n", 1)
    assert scores(text, WIDE, "fixed") == (1.0, 1.0)


def test_a_missing_edge_splits_the_graph_and_leaves_the_chain():
    chain, graph = scores(CHAIN.replace("(2,3) ", ""), CHAIN, "fixed")
    assert (chain, graph) == (1.0, pytest.approx(3 / 5))


@pytest.mark.parametrize("mode", ["official", "fixed"])
def test_no_node_has_no_chain(mode):
    assert scores("Node:\nEdge: (START,END)", CHAIN, mode)[0] == 0.0


def test_a_gold_with_a_cycle_is_refused():
    gold = Graph(("START", "a", "b", "END"), ((0, 1), (1, 2), (2, 1), (2, 3)))
    for mode in ("official", "fixed"):
        with pytest.raises(ValueError, match="cycle"):
            chain_f1(gold, gold, equality(gold, gold), mode)
    with pytest.raises(ValueError, match="no node"):
        chain_f1(gold, Graph(("START", "a", "END"), ((0, 9),)), np.ones((4, 3)), "fixed")


@given(st.text(alphabet="Node12:. (),STARENDge\nab", max_size=60) | st.just(CHAIN) | st.text(max_size=40))
def test_reading_finds_what_the_published_pattern_finds(text):
    found, wanted = read(text), official.workflow_to_graph_list(text)
    assert (found and as_official(found)) == (wanted or None)
