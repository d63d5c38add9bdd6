"""What an update changes: ``new_date`` is the record's date, one ``attendee`` more is in its attendees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from data_synth.simulator.effects import Effect, words
from data_synth.tools.tool import KIND, Tool

type Before = Callable[[str, Mapping[str, Any]], Any]

_REMOVING = frozenset({"remove", "delete", "drop", "uninvite", "untag", "leave", "unassign", "clear"})
_PREFIXES = ("new_", "updated_", "to_")


def changes(
    tool: Tool, effect: Effect, arguments: Mapping[str, Any], known: Mapping[str, Any], before: Before
) -> dict[str, Any]:
    """Field to new value.

    Args:
        known: fields of the record before.
        before: makes up a list that isn't known, from its field's name and schema.
    """
    changed: dict[str, Any] = {}
    for name, value in arguments.items():
        if name == effect.parameter:
            continue
        several = _list_of(tool, name)
        if several and not isinstance(value, list):
            schema = tool.output["properties"][several]
            items = known[several] if several in known else before(several, schema)
            changed[several] = _with(items, value, words(tool.name)[0] not in _REMOVING, schema)
            continue
        field = next((name.removeprefix(p) for p in _PREFIXES if name.startswith(p)), name)
        if field != name:
            field = _called(tool, field, name) or field
        changed[field] = value
    return changed


def _list_of(tool: Tool, parameter: str) -> str | None:
    """The answer's list of plain values that the parameter's is one of: ``attendees`` of ``attendee``."""
    kind = tool.properties[parameter].get(KIND)
    lists = {
        name: schema["items"]
        for name, schema in tool.output.get("properties", {}).items()
        if schema.get("type") == "array" and isinstance(schema.get("items"), Mapping)
    }
    alike = [
        name
        for name, items in lists.items()
        if kind and items.get(KIND) == kind and "properties" not in items
    ]
    named = [name for name in lists if name in (f"{parameter}s", f"{parameter}es")]
    return next(iter(named + alike), None)


def _with(items: Any, value: Any, adding: bool, schema: Mapping[str, Any]) -> list[Any]:
    """The list after the value was added or removed: the newest ones where it may not grow."""
    others = [one for one in items if one != value] if isinstance(items, list) else []
    return [*others, value][-schema.get("maxItems", len(others) + 1) :] if adding else others


def _called(tool: Tool, field: str, parameter: str) -> str | None:
    """The answer's field that ``new_time`` sets: of that name, else the only one that ends in it or is of its kind."""
    fields = tool.output.get("properties", {})
    if field in fields:
        return field
    ending = [name for name in fields if name.endswith(f"_{field}")]
    kind = tool.properties[parameter].get(KIND)
    alike = [name for name, schema in fields.items() if kind and schema.get(KIND) == kind]
    return next((names[0] for names in (ending, alike) if len(names) == 1), None)
