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
_STEM = 5
"""Letters by which ``complete_task`` finds the state ``completed``."""


def outcome(
    tool: Tool, action: Action, name: str, schema: Mapping[str, Any], known: Mapping[str, Any]
) -> Any:
    """The value of a field that tells how the call went; None for any other field."""
    if schema.get("type") == "boolean":
        return True if name in _FLAGS else None
    if not words(name) or words(name)[-1] not in ("status", "state"):
        return None
    states = schema.get("enum")
    if not states:
        return _free_text(action, name, schema, known)
    if stemmed := _by_verb(tool, states):
        return stemmed
    before = known.get(name)
    if action == "update" and any(same(before, state) for state in states):
        return before
    return next((state for state in _STATES.get(action, ()) if state in states), None)


def _by_verb(tool: Tool, states: list[Any]) -> Any:
    """``paused`` for ``pause_subscription``: a state that begins as a word of the tool's name does."""
    stems = [word[:_STEM] for word in words(tool.name) if len(word) >= 4 and word not in ("status", "state")]
    for state in states:
        if isinstance(state, str) and any(
            state.casefold().startswith(stem[: max(4, len(stem) - 1)]) for stem in stems
        ):
            return state
    return None


def _free_text(action: Action, name: str, schema: Mapping[str, Any], known: Mapping[str, Any]) -> str | None:
    if schema.get("type") != "string" or schema.keys() & {"const", "pattern", "format", "maxLength"}:
        return None
    return known.get(name) if action == "update" and name in known else _STATES.get(action, (None,))[0]
