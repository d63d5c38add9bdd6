"""Calls in an answer, and how many of them are wanted. Text is only parsed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

REPLY = "reply"
"""The tool that speaks to the user; what it says is free."""


@dataclass(frozen=True)
class Call:
    """A call; ``arguments`` is any JSON value, and right only if it is the wanted object."""

    name: str
    arguments: Any


@dataclass(frozen=True)
class Counts:
    """Of one message: calls with the right name, of how many; API calls right in name and arguments, of how many."""

    names: int
    of_names: int
    calls: int
    of_calls: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.names + other.names,
            self.of_names + other.of_names,
            self.calls + other.calls,
            self.of_calls + other.of_calls,
        )


def read_calls(entry: Any) -> list[Call]:
    """The calls of one message: a text, a call as an object, or a list of them; none if it can't be read.

    A text has Table 1's ``<action>ToolList:[…]</action>``, the last one counts, or Qwen3's ``<tool_call>…``.
    """
    if isinstance(entry, str):
        entry = _parse(entry)
    if isinstance(entry, dict):
        entry = [entry]
    if not isinstance(entry, list):
        return []
    calls = [call for call in entry if isinstance(call, dict) and isinstance(call.get("name"), str)]
    return [] if len(calls) < len(entry) else [Call(call["name"], call.get("arguments")) for call in calls]


def _parse(text: str) -> Any:
    """The list in a text; None if there is none, or it isn't JSON."""
    start = text.rfind("<action>")
    if start >= 0:
        inside, closing, _ = text[start + len("<action>") :].partition("</action>")
        label, _, items = inside.strip().partition(":")
        return _loads(items) if closing and label.rstrip() == "ToolList" else None
    blocks = [part.partition("</tool_call>") for part in text.split("<tool_call>")[1:]]
    if not blocks or not all(closing for _, closing, _ in blocks):
        return None
    return [_loads(inside) for inside, _, _ in blocks]


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def count(found: Sequence[Call], wanted: Sequence[Call]) -> Counts:
    """Compare the calls of one message, in any order: they are made together, none needs another's answer."""
    names = Counter(call.name for call in found) & Counter(call.name for call in wanted)
    apis = [call for call in found if call.name != REPLY]
    golden = [call for call in wanted if call.name != REPLY]
    left = list(apis)
    num_right = 0
    for call in golden:
        place = next((i for i, mine in enumerate(left) if _equal(mine, call)), None)
        if place is not None:
            del left[place]
            num_right += 1
    return Counts(names.total(), max(len(found), len(wanted)), num_right, max(len(apis), len(golden)))


def _equal(mine: Call, golden: Call) -> bool:
    return mine.name == golden.name and same(mine.arguments, golden.arguments)


def same(found: Any, wanted: Any) -> bool:
    """JSON equality: ``1`` and ``1.0`` are equal, ``1`` and ``true`` aren't. Goes no deeper than ``wanted`` does."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in wanted)
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(found, int | float) and isinstance(wanted, int | float):
        return found == wanted
    return type(found) is type(wanted) and not isinstance(found, dict | list) and found == wanted
