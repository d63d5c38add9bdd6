"""What an update changes: ``new_date`` is the record's date, one ``attendee`` more is in its attendees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data_synth.simulator.effects import Effect
from data_synth.tools.tool import KIND, Tool

_PREFIXES = ("new_", "updated_", "to_")


def changes(
    tool: Tool, effect: Effect, arguments: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    """Field to new value.

    Args:
        known: fields of the record before.
    """
    changed: dict[str, Any] = {}
    for name, value in arguments.items():
        if name == effect.parameter:
            continue
        field = next((name.removeprefix(p) for p in _PREFIXES if name.startswith(p)), name)
        if field != name:
            field = _called(tool, field, name) or field
        several = known.get(f"{name}s")
        if isinstance(several, list) and not isinstance(value, list):
            changed[f"{name}s"] = several if value in several else [*several, value]
        else:
            changed[field] = value
    return changed


def _called(tool: Tool, field: str, parameter: str) -> str | None:
    """The answer's field that ``new_time`` sets: of that name, else the only one that ends in it or is of its kind."""
    fields = tool.output.get("properties", {})
    if field in fields:
        return field
    ending = [name for name in fields if name.endswith(f"_{field}")]
    kind = tool.properties[parameter].get(KIND)
    alike = [name for name, schema in fields.items() if kind and schema.get(KIND) == kind]
    return next((names[0] for names in (ending, alike) if len(names) == 1), None)
