"""What a row's gold answer calls: the same whatever the task's way of writing it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

REPLY = "reply"
"""The special tool that talks to the user; no tool of the catalogue."""


def called_tools(row: dict[str, Any]) -> list[str]:
    """Names of the tools that the gold answer calls, in order, repeated ones too; ``reply`` is none."""
    names = [name for turn in _turns(row) for name in _names(turn)]
    return [name for name in names or row["meta"].get("tools", ()) if name != REPLY]


def links(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Pairs of tools of which the second took or waited for what the first gave, in the plan that made the row."""
    for plan in _plans(row):
        tools = {step["id"]: step["tool"] for step in plan["steps"]}
        for source, target, *_ in plan["edges"]:
            if tools[source] != tools[target]:
                yield tools[source], tools[target]


def offered_tools(row: dict[str, Any]) -> list[str]:
    """Names of the tools in the row's ``tools``."""
    return [tool.get("function", tool)["name"] for tool in row["tools"]]


def _turns(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [turn for turn in row["gold"].get("turns", ()) if isinstance(turn, dict)]


def _names(turn: dict[str, Any]) -> Iterator[str]:
    for step in turn.get("steps", ()):
        yield step["tool"]
    for call in turn.get("calls", ()):
        yield call["name"]
    if turn.get("call"):
        yield turn["call"]["name"]


def _plans(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Records as ``Plan.to_record`` writes them, in ``gold`` or ``meta``."""
    for holder in (row["gold"], row["meta"]):
        plan = holder.get("plan")
        if isinstance(plan, dict) and "steps" in plan and "edges" in plan:
            yield plan
