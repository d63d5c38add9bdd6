"""How a successful call speaks of its success: ``success: true``, ``status: cancelled``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data_synth.simulator.conforms import same
from data_synth.simulator.effects import Action, words
from data_synth.tools.tool import Tool

_FLAGS = frozenset(
    {"success", "ok", "confirmed", "deleted", "cancelled", "removed", "updated", "created", "sent", "saved"}
)
_STATES: Mapping[str, tuple[str, ...]] = {
    "create": (
        "confirmed",
        "created",
        "booked",
        "scheduled",
        "active",
        "placed",
        "open",
        "pending",
        "sent",
        "success",
    ),
    "update": ("updated", "modified", "changed", "rescheduled", "confirmed", "active", "success"),
    "delete": ("cancelled", "canceled", "deleted", "removed", "closed", "inactive", "success"),
}
_IRREGULAR = {
    "freeze": "frozen",
    "send": "sent",
    "pay": "paid",
    "hide": "hidden",
    "begin": "begun",
    "lose": "lost",
}
_REMARKS = frozenset({"comment", "note", "notes", "reason", "remark", "description", "message", "location"})
_CONSTRAINTS = frozenset({"const", "enum", "pattern", "format", "minLength", "maxLength"})
_STEM = 5
"""Letters by which ``complete_task`` finds the state ``completed``."""


def outcome(
    tool: Tool, action: Action, name: str, schema: Mapping[str, Any], known: Mapping[str, Any]
) -> Any:
    """The value of a field that tells how the call went; None for any other field."""
    if schema.get("type") == "boolean":
        return True if name in _FLAGS else None
    states = schema.get("enum")
    if states and action in ("create", "update", "delete") and (done := _by_verb(tool, name, states)):
        return done
    if not _is_state(name):
        return None
    if not states:
        return _free_text(action, name, schema, known)
    before = known.get(name)
    if action == "update" and any(same(before, state) for state in states):
        return before
    return next((state for state in _STATES.get(action, ()) if state in states), None)


def left_out(
    tool: Tool, action: Action, name: str, schema: Mapping[str, Any], given: Mapping[str, Any]
) -> Any:
    """What a new record has where the call could have said something and didn't: no comment; None for other fields."""
    if action != "create" or name not in tool.properties or name in given or schema.keys() & _CONSTRAINTS:
        return None
    return "" if schema.get("type") == "string" and words(name)[-1] in _REMARKS else None


def _is_state(name: str) -> bool:
    return bool(words(name)) and words(name)[-1] in ("status", "state")


def _by_verb(tool: Tool, name: str, states: list[Any]) -> Any:
    """``paused`` for ``pause_subscription``, ``off`` for ``turn_off_light``: a state that the tool's name names."""
    named = [word for word in words(tool.name) if word not in ("status", "state")]
    for state in states:
        if isinstance(state, str) and (state in named or state in {_IRREGULAR.get(word) for word in named}):
            return state
    stems = [
        word[: max(4, min(len(word), _STEM) - 1)] for word in named if len(word) >= 4 and _is_state(name)
    ]
    for state in states:
        if isinstance(state, str) and any(state.casefold().startswith(stem) for stem in stems):
            return state
    return None


def _free_text(action: Action, name: str, schema: Mapping[str, Any], known: Mapping[str, Any]) -> str | None:
    if schema.get("type") != "string" or schema.keys() & _CONSTRAINTS:
        return None
    return known.get(name) if action == "update" and name in known else _STATES.get(action, (None,))[0]
