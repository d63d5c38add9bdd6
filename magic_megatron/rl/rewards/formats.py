"""Table 1's formats, each matched on the whole response in linear time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from data_synth.tasks.procedural.dag import END, START, GraphError, read
from evaluation.worfbench import Graph

_THINK, _THOUGHT = "<think>", "</think>"


def answer_of(response: str) -> str | None:
    """What follows the thought that a response may begin with; None if the thought's tags don't pair up."""
    text = response.strip()
    if not text.startswith(_THINK):
        return None if _THINK in text or _THOUGHT in text else text
    _, closed, answer = text.partition(_THOUGHT)
    paired = closed and text.count(_THINK) == text.count(_THOUGHT) == 1
    return answer.strip() if paired else None


def tagged(response: str, name: str) -> str | None:
    """The inside of ``<name>`` where the response is ``<think>…</think><name>…</name>`` and nothing else.

    Each tag stands once; only the thought may be blank.
    """
    answer, opens, closes = answer_of(response), f"<{name}>", f"</{name}>"
    if answer is None or not response.lstrip().startswith(_THINK):
        return None
    if response.count(opens) != 1 or response.count(closes) != 1:
        return None
    if not answer.startswith(opens) or not answer.endswith(closes):
        return None
    return answer[len(opens) : -len(closes)].strip() or None


def workflow(response: str) -> Graph | None:
    """The workflow that the response is, in WorfBench's lines or in Table 1's one line; None if it is none.

    ``Node 1:N1 2:N2. Edge:(START,1),(1,2),(2,END)`` is the one line.
    """
    answer = answer_of(response)
    if answer is None:
        return None
    for text in (answer, _unfolded(answer)):
        try:
            nodes, edges = read(text)
        except GraphError:
            continue
        return graph(nodes, edges)
    return None


def graph(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> Graph:
    """Nodes numbered from 1, and edges between their names, as evaluation wants them."""
    names = [START, *(str(number) for number in range(1, len(nodes) + 1)), END]
    place = {name: number for number, name in enumerate(names)}
    return Graph((START, *nodes, END), tuple((place[a], place[b]) for a, b in edges))


def _unfolded(answer: str) -> str:
    """The one line as WorfBench's lines; blank where it isn't one."""
    head, found, edges = answer.removeprefix("Node").rpartition("Edge:")
    if not found or not answer.startswith("Node") or "\n" in head:
        return ""
    head = " " + head.removeprefix(":").strip()
    starts, number = [head.find(" 1:")], 1
    while starts[-1] >= 0:
        number += 1
        starts.append(head.find(f" {number}:", starts[-1] + 1))
    bounds = [*starts[:-1], len(head)]
    if bounds[0] != 0:
        return ""
    nodes = [head[start:end].strip() for start, end in pairwise(bounds)]
    return "\n".join(["Node:", *nodes, f"Edge: {edges}"])
