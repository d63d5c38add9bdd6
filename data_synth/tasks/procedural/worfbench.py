"""WorfBench-style rows: a task, the actions or tools that may be used, and a gold workflow as text.

Source of the format: zjunlp/WorfBench (MIT), training and evaluation files alike. The files of
``gold_traj/*/graph_eval.json`` are a benchmark: train on other rows.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from data_synth.tasks.procedural.dag import GraphError, ordered, read
from data_synth.tasks.procedural.workflow import CHINESE, Candidate, GoldPlan, Node, Subtask

LICENCE = "MIT"
_LIST = re.compile(
    r"(?:The (?:action|api|tool) list you can (?:take|use|select from)|api_list)\s*:\s*(?P<items>.*)",
    re.DOTALL,
)
_LINE = re.compile(r"(?:[0-9]+\.\s*)?(\S.*)")


class RowError(ValueError):
    """A row that can't be used; the message is a reason in one word."""


def is_worfbench(row: Mapping[str, Any]) -> bool:
    """Whether the row looks like one of WorfBench's."""
    return isinstance(row.get("conversations"), list) and "source" in row


def parse_worfbench(row: Mapping[str, Any]) -> GoldPlan:
    """The row's task, candidates and gold plan.

    Raises:
        RowError: ``not_three_messages``, ``no_candidates``, ``not_a_workflow`` or ``no_task``.
    """
    said = {message.get("role"): message.get("content", "") for message in row["conversations"]}
    if not {"user", "assistant"} <= set(said):
        raise RowError("not_three_messages")
    asked = _LIST.search(said["user"])
    candidates = _candidates(asked["items"]) if asked else []
    if asked is None or not candidates:
        raise RowError("no_candidates")
    try:
        texts, edges = read(said["assistant"])
    except GraphError:
        raise RowError("not_a_workflow") from None
    kind: Subtask = "qa" if all(not c.parameters for c in candidates) else "tools"
    nodes = tuple(Node(text, _used(text, candidates)) for text in texts)
    task = _task(said["user"][: asked.start()])
    return GoldPlan(
        kind=kind,
        task=task,
        nodes=nodes,
        edges=ordered(edges) if len(set(edges)) == len(edges) else edges,
        own=tuple(candidates),
        language="zh" if CHINESE.search(task) else "en",
        source=f"worfbench/{row['source']}",
        licence=LICENCE,
        structure=repr((task, texts, edges)),
    )


def _task(text: str) -> str:
    """The description, without what leads up to it and the heading of the output."""
    task = text.rpartition("Now it's your turn.")[2].replace("Output:", "").strip()
    task = task.removeprefix("Task:").strip().strip('"').strip()
    if not task:
        raise RowError("no_task")
    return task


def _candidates(text: str) -> list[Candidate]:
    """What may be used: a Python literal (read, never run), or a line each."""
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = [match[1] for line in text.splitlines() if (match := _LINE.fullmatch(line.strip()))]
    if isinstance(value, Mapping):
        found = [Candidate(str(name), str(about)) for name, about in value.items()]
    elif isinstance(value, list):
        found = [_candidate(entry) for entry in value]
    else:
        return []
    return list({candidate.name: candidate for candidate in found if candidate.name}.values())


def _candidate(entry: Any) -> Candidate:
    if not isinstance(entry, Mapping):
        return Candidate(str(entry).strip())
    name = entry.get("name", entry.get("api_name", ""))
    about = entry.get("description", entry.get("api_description", ""))
    parameters = entry.get("parameters")
    if not isinstance(parameters, Mapping):
        parameters = {}
    if "properties" not in parameters:
        properties = {key: _schema(value) for key, value in parameters.items()}
        parameters = {"type": "object", "properties": properties, "required": list(entry.get("required", []))}
    return Candidate(str(name), str(about), parameters, str(entry.get("field", "")))


def _schema(value: Any) -> dict[str, Any]:
    """A parameter that is described in words, or by a mapping."""
    return dict(value) if isinstance(value, Mapping) else {"description": str(value)}


def _used(text: str, candidates: list[Candidate]) -> tuple[str, ...]:
    """The candidate whose name is the node's text, as in WikiHow's rows; others don't say what they use."""
    plain = _plain(text)
    return tuple(c.name for c in candidates if _plain(c.name) == plain)[:1]


def _plain(text: str) -> str:
    return " ".join(text.lower().rstrip(".").split())
