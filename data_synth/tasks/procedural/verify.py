"""Is a text the gold workflow, and is a row what it should be? Read from scratch; nothing here makes rows.

``verify`` raises nothing, whatever the text. Nodes are matched one to one: by their words, or by a similarity that
the caller gives (WorfBench matches sentence embeddings above 0.6).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import networkx

type Similarity = Callable[[str, str], float]

_EDGE = re.compile(r"\((START|[1-9][0-9]{0,3}),(END|[1-9][0-9]{0,3})\)")
_ANSWER = re.compile(
    r"Nodes?:[ \t]*\n(?P<nodes>(?:[1-9][0-9]{0,3}[:.][^\n]*\n)+)(?:Graph:[ \t]*\n)?"
    r"Edges?:(?P<edges>[^\n]*(?:\n[^\n]*)*)"
)


def verify(
    gold: Mapping[str, Any],
    text: str,
    turn: int = 0,
    similarity: Similarity | None = None,
    threshold: float = 0.6,
) -> tuple[bool, str]:
    """Whether ``text`` is the gold workflow up to the order of nodes that don't depend on each other.

    Args:
        gold: the row's ``gold``.
        text: what a model said.
        similarity: of two nodes, up to 1; None: the same words, whatever the case and punctuation.

    Returns:
        the verdict, and the first thing that is wrong ("ok" if nothing is).
    """
    read = _read(text)
    if isinstance(read, str):
        return False, read
    nodes, edges = read
    wrong = _wrong_graph(len(nodes), edges)
    if wrong is not None:
        return False, wrong
    if len(nodes) != len(gold["nodes"]):
        return False, f"{len(nodes)} nodes where there are {len(gold['nodes'])}"
    matches = _matched(nodes, gold["nodes"], similarity, threshold)
    if matches is None:
        return False, "the nodes aren't the gold nodes"
    names = {str(own): str(theirs) for own, theirs in matches.items()} | {"START": "START", "END": "END"}
    found = {(names[a], names[b]) for a, b in edges}
    right = {(str(a), str(b)) for a, b in gold["edges"]}
    if found != right:
        odd = min(found ^ right)
        return False, f"{'wrong' if odd in found else 'missing'} edge ({odd[0]},{odd[1]}) of the gold graph"
    return True, "ok"


def verify_row(row: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a row's parts agree: messages, gold, candidates and the plan that the graph was made of."""
    gold, messages = row["gold"], row["messages"]
    if [message["role"] for message in messages] != ["system", "user", "assistant"]:
        return False, "not a system, a user and an assistant message"
    read = _read(messages[2]["content"])
    if isinstance(read, str):
        return False, read
    nodes, edges = read
    if nodes != gold["nodes"] or sorted(edges) != sorted((a, b) for a, b in gold["edges"]):
        return False, "the answer isn't the gold workflow"
    if len(set(nodes)) != len(nodes):
        return False, "two nodes say the same"
    verdict = verify(gold, messages[2]["content"])
    if not verdict[0]:
        return verdict
    wrong = (
        _wrong_order(gold)
        or _wrong_candidates(gold, messages[1]["content"])
        or _wrong_dependencies(row["subtask"], gold)
    )
    return wrong is None, wrong or "ok"


def _read(text: str) -> tuple[list[str], list[tuple[str, str]]] | str:
    """Nodes and edges, or what is wrong with the format."""
    found = _ANSWER.fullmatch(text.rpartition("</think>")[2].strip())
    if found is None:
        return "not of the form Node: … Edge: …"
    nodes: list[str] = []
    for line in found["nodes"].splitlines():
        number, words = re.split("[:.]", line, maxsplit=1)
        nodes.append(words.strip())
        if int(number) != len(nodes) or not nodes[-1]:
            return f"node {number} stands at position {len(nodes)}, or is empty"
    packed = re.sub(r"[\s,]+(?=\()", "", re.sub(r"\s", "", found["edges"])).rstrip(".")
    edges = _EDGE.findall(packed)
    if "".join(f"({a},{b})" for a, b in edges) != packed or not edges:
        return "the edges aren't of the form (a,b) (c,d)"
    return nodes, edges


def _wrong_graph(num_nodes: int, edges: Sequence[tuple[str, str]]) -> str | None:
    """Against the rules of a workflow: known nodes, no cycle, all between the one START and the one END."""
    names = ["START", *(str(number) for number in range(1, num_nodes + 1)), "END"]
    if len(set(edges)) != len(edges):
        return "an edge stands twice"
    if not {name for edge in edges for name in edge} <= set(names):
        return "an edge names no node"
    incoming = {name: [a for a, b in edges if b == name] for name in names}
    outgoing = {name: [b for a, b in edges if a == name] for name in names}
    waiting = {name: len(incoming[name]) for name in names}
    ready, done = deque(name for name in names if not incoming[name]), 0
    if list(ready) != ["START"] or [name for name in names if not outgoing[name]] != ["END"]:
        return "START or END isn't the only one of its kind"
    while ready:
        done += 1
        for name in outgoing[ready.popleft()]:
            waiting[name] -= 1
            if not waiting[name]:
                ready.append(name)
    return None if done == len(names) else "the edges contain a cycle"


def _matched(
    nodes: Sequence[str], gold: Sequence[str], similarity: Similarity | None, threshold: float
) -> dict[int, int] | None:
    """Each node's number to the gold node's, all of them; the most similar such matching."""
    if similarity is None:
        numbers = {_plain(text): number for number, text in enumerate(gold, 1)}
        found = {number: numbers.get(_plain(text), 0) for number, text in enumerate(nodes, 1)}
        return found if sorted(found.values()) == list(range(1, len(gold) + 1)) else None
    pairs = networkx.Graph()
    for number, text in enumerate(nodes, 1):
        for other, right in enumerate(gold, 1):
            score = similarity(text, right)
            if score > threshold:
                pairs.add_edge(number, -other, weight=score)
    matching = networkx.max_weight_matching(pairs, maxcardinality=True)
    found = {max(pair): -min(pair) for pair in matching}
    return found if len(found) == len(gold) else None


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())


def _wrong_order(gold: Mapping[str, Any]) -> str | None:
    """The gold sequence isn't the smallest one that the edges allow."""
    order, edges = gold["order"], [(a, b) for a, b in gold["edges"]]
    if sorted(order) != list(range(1, len(gold["nodes"]) + 1)):
        return "the order isn't one of the nodes"
    done: set[str] = {"START"}
    for number in order:
        open_nodes = [
            n for n in sorted(order) if str(n) not in done and all(a in done for a, b in edges if b == str(n))
        ]
        if open_nodes[:1] != [number]:
            return f"node {number} isn't the smallest that can be next"
        done.add(str(number))
    if any(a > b for a, b in pairwise(order)):
        return "the nodes aren't numbered in the order of the plan"
    return None


def _wrong_candidates(gold: Mapping[str, Any], user: str) -> str | None:
    names = gold["candidates"]
    if len(set(names)) != len(names):
        return "a candidate stands twice"
    if unused := [name for actions in gold["actions"] for name in actions if name not in names]:
        return f"{unused[0]} isn't offered"
    if unseen := [name for name in names if name not in user]:
        return f"the prompt doesn't offer {unseen[0]}"
    return None if len(gold["actions"]) == len(gold["nodes"]) else "not one list of actions for each node"


def _wrong_dependencies(subtask: str, gold: Mapping[str, Any]) -> str | None:
    """The edges aren't what the plan's arguments, conditions or operations say."""
    plan = gold["plan"]
    pairs: set[tuple[int, int]] = set()
    if "operations" in plan:
        pairs = {(i, op["step"]) for op in plan["operations"] for i in op["inputs"] if isinstance(i, int)}
    elif "steps" in plan:
        for step in plan["steps"]:
            sources = [argument["step"] for argument in step["arguments"].values() if "step" in argument]
            sources += [condition["step"] for condition in step.get("when", ())]
            pairs |= {(source, step["id"]) for source in sources}
            if subtask == "tools" and gold["actions"][step["id"] - 1] != [step["tool"]]:
                return f"node {step['id']} doesn't use {step['tool']}"
    else:
        return None
    inner = {(int(a), int(b)) for a, b in gold["edges"] if a != "START" and b != "END"}
    return None if inner == pairs else "the edges aren't the plan's dependencies"
