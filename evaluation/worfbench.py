"""WorfBench's chain F1 and graph F1 (Qiao et al. 2025), given the cosines of all pairs of nodes. No model in here.

``official`` is the verdict of the published evaluator (zjunlp/WorfBench 38a6455, MIT), oddities included; ``fixed``
mends them:

- chain: where nothing matches, the longest chain has length 0 and not 1;
- chain: START and END are never among the gold's nodes, not even in graphs of ten nodes or more;
- chain: those large graphs have topological orders too, and all orders come by node number, so that a gold graph
  numbered in its own order is answered best by itself;
- graph: a predicted edge is compared with the gold's through the matching of the nodes, not by raw numbers; START
  matches START, and END matches END;
- nodes with equal cosines, such as a subtask that occurs twice, are matched in their order.

Shape letters: P nodes of the prediction, G of the gold, START and END counted.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import networkx
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Mode = Literal["official", "fixed"]
type Similarity = NDArray[np.floating[Any]]

START, END = "START", "END"
THRESHOLD = 0.6
MOST_ORDERS = 20
LARGE = 10
"""Nodes from which on the official evaluator draws up no orders."""
MOST_PAIRS = 2_000
"""Pairs of alike nodes up to which networkx matches them, in a second or so; answers of any sense have a few dozen."""

# The official patterns, but possessive and behind a look-behind: the same matches without rescans.
_NODE = re.compile(r"(?<!\d)\d++[:.] (.+)")
_EDGE = re.compile(r"\(\s*+(\d++|START)\s*+,\s*+(\d++|END)\s*+\)")


@dataclass(frozen=True)
class Graph:
    """A workflow. ``nodes`` begin with START and close with END; ``edges`` are pairs of positions in ``nodes``."""

    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]


def read(text: str) -> Graph | None:
    """The workflow that the official evaluator finds in ``text``; None where it finds none, which scores 0."""
    pairs = _EDGE.findall(text) if "Node" in text else []
    nodes = (START, *(words.strip() for words in _NODE.findall(text)), END)
    numbers = {START: 0, END: len(nodes) - 1}
    try:
        edges = [tuple(numbers[end] if end in numbers else int(end) for end in pair) for pair in pairs]
    except ValueError:  # Python reads no integer of more than 4,300 digits
        return None
    return Graph(nodes, tuple((a, b) for a, b in edges)) if edges else None


def chain_f1(
    pred: Graph, gold: Graph, similarity: Similarity, mode: Mode, threshold: float = THRESHOLD
) -> float:
    """The best F1 of the longest increasing chain of matched nodes, over the gold's first 20 topological orders.

    Args:
        similarity: cosines [P, G] of the nodes' embeddings.
        mode: see above.
        threshold: nodes are matched where their cosine is greater.

    Raises:
        ValueError: the gold has a cycle or an edge to no node.
    """
    assert similarity.shape == (len(pred.nodes), len(gold.nodes))
    rows = [i for i, text in enumerate(pred.nodes) if text not in (START, END)]
    if mode == "fixed":
        rows = list(range(1, len(pred.nodes) - 1))
    if not rows:
        return 0.0
    if mode == "official":
        return _official_chain_f1(gold, similarity[rows], threshold)
    return _f1(_best_chain(gold, similarity[rows], threshold), len(rows), len(gold.nodes) - 2)


def graph_f1(
    pred: Graph, gold: Graph, similarity: Similarity, mode: Mode, threshold: float = THRESHOLD
) -> float:
    """F1 of the largest component that matched nodes and shared edges form, by its share of the nodes.

    Args and errors: as ``chain_f1``; a cycle is none here.
    """
    assert similarity.shape == (len(pred.nodes), len(gold.nodes))
    if mode == "official":
        matched = _official_matching(similarity, threshold)
        own, theirs = set(matched), set(matched.values())
        shared = {e for e in pred.edges if own.issuperset(e)} & {
            e for e in gold.edges if theirs.issuperset(e)
        }
        sizes = _largest_component(own, shared), _largest_component(theirs, shared)
        return _harmonic(sizes[0] / len(pred.nodes), sizes[1] / len(gold.nodes))
    inner = _matching(similarity[1:-1, 1:-1], threshold)
    matched = {i + 1: j + 1 for i, j in inner.items()}
    matched |= {0: 0, len(pred.nodes) - 1: len(gold.nodes) - 1}
    wanted = set(gold.edges)
    shared = {
        (a, b) for a, b in pred.edges if a in matched and b in matched and (matched[a], matched[b]) in wanted
    }
    return _f1(_largest_component(set(matched), shared), len(pred.nodes), len(gold.nodes))


def topological_orders(gold: Graph) -> Iterator[list[int]]:
    """Orders of the nodes between START and END, the one with the smallest numbers first.

    Raises:
        ValueError: the edges have a cycle, or one leads to no node.
    """
    last = len(gold.nodes) - 1
    if any(not 0 <= end <= last for edge in gold.edges for end in edge):
        raise ValueError("an edge of the gold leads to no node")
    inner = range(1, last)
    followers = {n: {b for a, b in gold.edges if a == n and b in inner} for n in inner}
    waiting = {n: sum(n in followers[a] for a in inner) for n in inner}
    if not networkx.is_directed_acyclic_graph(networkx.DiGraph(followers)):
        raise ValueError("the gold's edges contain a cycle")
    order: list[int] = []
    choices = [iter([n for n in inner if not waiting[n]])]
    while choices:
        node = next(choices[-1], None)
        if node is None:
            choices.pop()
            for b in followers[order.pop()] if order else ():
                waiting[b] += 1
            continue
        order.append(node)
        for b in followers[node]:
            waiting[b] -= 1
        if len(order) == len(inner):
            yield list(order)
        choices.append(iter([n for n in inner if not waiting[n] and n not in order]))


def _best_chain(gold: Graph, similarity: Similarity, threshold: float) -> int:
    """Length of the longest chain over the first orders; ends early when an order takes every matched node."""
    best = 0
    for order in islice(topological_orders(gold), MOST_ORDERS):
        matched = _matching(similarity[:, order], threshold)
        best = max(best, _longest_increasing([matched[i] for i in sorted(matched)]))
        if best == len(matched):
            break
    return best


def _matching(similarity: Similarity, threshold: float) -> dict[int, int]:
    """Maximum-weight matching over the pairs above ``threshold``, rows to columns; ties go in order."""
    if not similarity.size:
        return {}
    num_rows, num_columns = similarity.shape
    weights = np.where(similarity > threshold, np.round(similarity.astype(np.float64), 5), 0.0)
    # Supermodular, so that of two matchings of one weight the one without a crossing is the heavier.
    in_order = np.outer(np.arange(1, num_rows + 1) / num_rows, np.arange(1, num_columns + 1) / num_columns)
    rows, columns = linear_sum_assignment(weights + 1e-6 * in_order * (weights > 0), maximize=True)
    return {int(i): int(j) for i, j in zip(rows, columns, strict=True) if weights[i, j] > 0}


def _longest_increasing(values: list[int]) -> int:
    tails: list[int] = []
    for value in values:
        place = bisect_left(tails, value)
        tails[place : place + 1] = [value]
    return len(tails)


def _largest_component(nodes: set[int], edges: set[tuple[int, int]]) -> int:
    graph = networkx.Graph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    return max((len(component) for component in networkx.connected_components(graph)), default=0)


def _f1(common: int, num_pred: int, num_gold: int) -> float:
    return _harmonic(common / num_pred, common / num_gold) if num_gold else 0.0


def _harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _official_chain_f1(gold: Graph, similarity: Similarity, threshold: float) -> float:
    """The best over the gold's orders; ends early when no other order can do better."""
    best = num_gold = 0
    for order in _official_orders(gold):
        shown, num_gold = similarity[:, order], len(order)
        above = shown > threshold
        best = max(best, _official_chain(shown, threshold))
        if best >= min(np.count_nonzero(above.any(0)), np.count_nonzero(above.any(1))):
            break
    return _f1(best, len(similarity), num_gold)


def _official_orders(gold: Graph) -> Iterator[list[int]]:
    """The gold's orders as the official code has them: as listed from ten nodes on, else as networkx finds them."""
    if len(gold.nodes) >= LARGE:
        yield list(range(len(gold.nodes)))
        return
    directed = networkx.DiGraph()
    directed.add_nodes_from(range(len(gold.nodes)))
    directed.add_edges_from(gold.edges)
    if len(directed) > len(gold.nodes):
        raise ValueError("an edge of the gold leads to no node")
    try:
        for order in islice(networkx.all_topological_sorts(directed), MOST_ORDERS):
            yield [n for n in order if gold.nodes[n] not in (START, END)]
    except networkx.NetworkXUnfeasible:
        raise ValueError("the gold's edges contain a cycle") from None


def _official_chain(similarity: Similarity, threshold: float) -> int:
    matched = _official_matching(similarity, threshold)
    return max(1, _longest_increasing([matched[i] for i in sorted(matched)]))


def _official_matching(similarity: Similarity, threshold: float) -> dict[int, int]:
    """By networkx, edges in the official order: where cosines tie, its choice is the official one.

    Of very many nodes, for which networkx takes hours, an algorithm that is as good in all but ties.
    """
    found = [(int(i), int(j)) for i, j in np.argwhere(similarity > threshold)]
    if len({i for i, _ in found}) == len(found) == len({j for _, j in found}):
        return dict(found)
    if len(found) > MOST_PAIRS:
        return _matching(similarity, threshold)
    pairs = networkx.Graph()
    for i, j in found:
        pairs.add_edge(i, str(j), weight=float(similarity[i, j]))
    matched: dict[int, int] = {}
    for a, b in networkx.max_weight_matching(pairs):
        row, column = (a, b) if isinstance(a, int) else (b, a)
        matched[row] = int(column)
    return matched
