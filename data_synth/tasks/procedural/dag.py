"""Workflow graphs in WorfBench's format: closing with START and END, the topological plan, writing, reading.

    Node:
    1: first subtask
    2: second subtask
    Edge: (START,1) (1,2) (2,END)

Source of the format: zjunlp/WorfBench 38a6455, ``gold_traj/*/graph_eval.json``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import networkx

START, END = "START", "END"
type Edges = tuple[tuple[str, str], ...]

_NODE = re.compile(r"([1-9][0-9]{0,3})\s*[:.]\s*(\S.*)")
_EDGE = re.compile(r"\(\s*(START|[0-9]{1,4})\s*,\s*(END|[0-9]{1,4})\s*\)")


class GraphError(ValueError):
    """A text that isn't a workflow in WorfBench's format."""


def close(num_nodes: int, pairs: Iterable[tuple[int, int]]) -> Edges:
    """Edges between the nodes 1 … ``num_nodes``, joined to START where nothing leads in and to END where nothing
    leads out; sorted."""
    inner = set(pairs)
    targets, sources = {b for _, b in inner}, {a for a, _ in inner}
    numbers = range(1, num_nodes + 1)
    edges = [(str(a), str(b)) for a, b in inner]
    edges += [(START, str(n)) for n in numbers if n not in targets]
    edges += [(str(n), END) for n in numbers if n not in sources]
    return ordered(edges)


def ordered(edges: Iterable[tuple[str, str]]) -> Edges:
    """Each edge once, by source and target; START before every number, END after."""
    return tuple(sorted(set(edges), key=lambda edge: (_place(edge[0]), _place(edge[1]))))


def _place(name: str) -> float:
    if name == START:
        return 0.0
    return math.inf if name == END else float(name)


def graph(num_nodes: int, edges: Iterable[tuple[str, str]]) -> networkx.DiGraph:
    """The edges as a graph that has START, END and every node, whether an edge touches it or not."""
    directed = networkx.DiGraph()
    directed.add_nodes_from([START, END, *(str(n) for n in range(1, num_nodes + 1))])
    directed.add_edges_from(edges)
    return directed


def topological_order(num_nodes: int, edges: Iterable[tuple[str, str]]) -> list[int] | None:
    """The lexicographically smallest topological order of the numbered nodes; None where there is a cycle."""
    directed = graph(num_nodes, edges)
    try:
        names = list(networkx.lexicographical_topological_sort(directed, key=_place))
    except networkx.NetworkXUnfeasible:
        return None
    return [int(name) for name in names if name not in (START, END)]


def write(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> str:
    """The workflow as an answer."""
    lines = [f"{number}: {text}" for number, text in enumerate(nodes, 1)]
    return "\n".join(["Node:", *lines, "Edge: " + " ".join(f"({a},{b})" for a, b in ordered(edges))])


def read(text: str) -> tuple[list[str], Edges]:
    """Nodes in their order, and edges, of an answer.

    ``Nodes:``, ``Edges:``, ``1.`` for ``1:``, commas between edges and a line ``Graph:`` are read too.

    Raises:
        GraphError: with what is wrong.
    """
    head, found, tail = _split(text)
    if not found:
        raise GraphError("no line 'Node:' followed by one 'Edge:'")
    nodes: list[str] = []
    for line in filter(None, (line.strip() for line in head.splitlines())):
        if line == "Graph:":
            continue
        match = _NODE.fullmatch(line)
        if match is None:
            raise GraphError(f"not a node: {line[:80]}")
        if int(match[1]) != len(nodes) + 1:
            raise GraphError(f"node {match[1]} stands at position {len(nodes) + 1}")
        nodes.append(match[2].strip())
    edges = _EDGE.findall(tail)
    if _EDGE.sub("", tail).strip(" \n\t,."):
        raise GraphError(f"not edges: {_EDGE.sub('', tail).strip()[:80]}")
    if not nodes or not edges:
        raise GraphError("no nodes" if not nodes else "no edges")
    names = {START, END, *(str(n) for n in range(1, len(nodes) + 1))}
    unknown = [name for edge in edges for name in edge if name not in names]
    if unknown:
        raise GraphError(f"an edge names {unknown[0]}, which is no node")
    if len(set(edges)) != len(edges):
        raise GraphError("an edge stands twice")
    return nodes, tuple(edges)


def _split(text: str) -> tuple[str, bool, str]:
    """What stands between ``Node:`` and ``Edge:``, whether both are there, and what stands after."""
    body = text.rpartition("</think>")[2].strip()
    match = re.match(r"Nodes?:[ \t]*\n", body)
    if match is None:
        return "", False, ""
    parts = re.split(r"\n[ \t]*Edges?:", body[match.end() - 1 :], maxsplit=1)
    return parts[0], len(parts) == 2, parts[-1]
