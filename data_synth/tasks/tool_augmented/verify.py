"""Is an answer the thought and the calls that were wanted, and is a row sound? Nothing is ever evaluated.

``verify`` is pure and never raises, whatever the text; rewards may call it as it is. ``verify_row`` re-reads a whole
row without the code that made it: formats, schemas, grounding, the course through the plan, and a replay of every call
against a simulator that knows nothing but the row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from data_synth import strict_json
from data_synth.simulator.conforms import same
from data_synth.tasks.tool_augmented.row_checks import row_fault

FORMAT = re.compile(
    r"\s*<think>(?P<think>(?:(?!</?(?:think|action)>).)+)</think>\s*"
    r"<action>\s*ToolList:\s*(?P<calls>\[(?:(?!</?(?:think|action)>).)*\])\s*</action>\s*",
    re.DOTALL,
)
"""Table 1: the whole message."""
REPLY = "reply"
MOST_CHARACTERS = 100_000
"""A longer answer isn't read."""


def parse(text: str) -> tuple[str, list[dict[str, Any]]] | None:
    """The thought and the calls of an answer; None if it hasn't Table 1's format."""
    found = FORMAT.fullmatch(text) if len(text) <= MOST_CHARACTERS else None
    if found is None:
        return None
    try:
        calls = strict_json.loads(found["calls"])
    except (ValueError, RecursionError):
        return None
    for call in calls:
        if not isinstance(call, dict) or call.keys() != {"name", "arguments"}:
            return None
        if not isinstance(call["name"], str) or not isinstance(call["arguments"], dict):
            return None
    return found["think"], calls


def verify(gold: Mapping[str, Any], text: str, turn: int = 0) -> tuple[bool, str]:
    """Whether ``text`` makes exactly the golden calls: names, arguments, order.

    What a ``reply`` says is free; that it says something, and nothing else is called, isn't.

    Args:
        gold: the row's ``gold``.
        turn: which of the assistant's messages, from 0.
    """
    parsed = parse(text) if isinstance(text, str) else None
    if parsed is None:
        return False, "format"
    if not 0 <= turn < len(gold["turns"]):
        return False, "no_such_turn"
    wanted, calls = gold["turns"][turn]["calls"], parsed[1]
    if [call["name"] for call in calls] != [call["name"] for call in wanted]:
        return False, "tools" if len(calls) == len(wanted) else "number_of_calls"
    for mine, golden in zip(calls, wanted, strict=True):
        if golden["name"] == REPLY:
            content = mine["arguments"].get("content")
            if mine["arguments"].keys() != {"content"} or not isinstance(content, str) or not content.strip():
                return False, "arguments"
        elif not same(mine["arguments"], golden["arguments"]):
            return False, "arguments"
    return True, "ok"


def verify_row(row: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a row is sound, and if not, what is wrong first."""
    gold = row["gold"]
    answers = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
    if len(answers) != len(gold["turns"]):
        return False, f"{len(answers)} answers and {len(gold['turns'])} golden turns"
    parsed = [parse(answer) for answer in answers]
    for number, (answer, read) in enumerate(zip(answers, parsed, strict=True)):
        ok, reason = verify(gold, answer, number)
        if not ok or read is None:
            return False, f"answer {number}: {reason}"
    fault = row_fault(row, [read for read in parsed if read is not None])
    return (True, "ok") if fault is None else (False, fault)
