"""Questions that the operators ask of JSON schemas: what stands at a path, what fits where."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema

from data_synth.tools.tool import KIND, Tool

type Path = tuple[str | int, ...]


def schema_at(schema: Mapping[str, Any], path: Path) -> Mapping[str, Any] | None:
    """The schema of the value at ``path``; None if ``schema`` promises none."""
    current: Any = schema
    for part in path:
        if not isinstance(current, Mapping):
            return None
        current = (
            current.get("items") if isinstance(part, int) else (current.get("properties") or {}).get(part)
        )
    return current if isinstance(current, Mapping) else None


def fields(schema: Mapping[str, Any], prefix: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Every named value of an answer outside of its lists, and the lists themselves, in the schema's order."""
    for name, inner in (schema.get("properties") or {}).items():
        yield (*prefix, name), inner
        if inner.get("type") == "object":
            yield from fields(inner, (*prefix, name))


def kind_of(schema: Mapping[str, Any]) -> str | None:
    """What a value is, where the schema says so."""
    return schema.get(KIND)


def same_space(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether one value can serve both parameters: one type, one format, one enumeration, one kind."""
    keys = ("type", "format", "enum", "pattern", "items", KIND)
    return all(a.get(key) == b.get(key) for key in keys)


def fits(source: Mapping[str, Any], target: Mapping[str, Any]) -> bool:
    """Whether what ``source`` describes can be passed where ``target`` is asked for, by type."""
    given, asked = source.get("type"), target.get("type")
    if given == "integer" and asked == "number":
        return True
    return given is not None and given == asked


def is_valid(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether ``value`` conforms to ``schema``, formats included."""
    return bool(_validator(json.dumps(schema, sort_keys=True, ensure_ascii=False)).is_valid(value))


@cache
def _validator(schema: str) -> Any:
    return jsonschema.Draft202012Validator(
        json.loads(schema), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


def parameter_schema(tool: Tool, name: str) -> Mapping[str, Any]:
    """The schema of a parameter; empty for an unknown one."""
    found = tool.properties.get(name, {})
    return found if isinstance(found, Mapping) else {}


def is_plain(schema: Any) -> bool:
    """Whether a value is one that a user can say in a few words: no object, no list of objects."""
    if not isinstance(schema, Mapping):
        return False
    if schema.get("type") == "array":
        return is_plain(schema.get("items"))
    return schema.get("type") in ("string", "integer", "number", "boolean")


FREE_TEXT = frozenset(
    (
        *("sentence", "reason", "comment", "note", "memo_text", "mail_subject", "event_title", "task_title"),
        *("reminder_text", "memo_title", "topic", "notebook_name", "list_name", "group_name", "project_name"),
        *("contact_group_name", "folder_name", "watchlist_name", "car_damage", "table_request"),
        *("work_comment", "payment_reference"),
        *("text", "message", "content", "body", "description", "title", "subject", "name"),
    )
)
"""Kinds, and names of parameters without one, of what is written for one occasion."""


def is_free_text(name: str, schema: Mapping[str, Any]) -> bool:
    """Whether a parameter takes words of the user's own, which no two calls share by chance."""
    return schema.get("type") == "string" and (kind_of(schema) or name) in FREE_TEXT


def is_identifier(schema: Mapping[str, Any], name: str) -> bool:
    """Whether a value names a thing instead of describing it."""
    return str(kind_of(schema) or name).endswith("_id")


def is_reusable(name: str, schema: Mapping[str, Any]) -> bool:
    """Whether one value given to two calls is said once: what names or measures, no flags and no free text."""
    return schema.get("type") != "boolean" and not is_free_text(name, schema)
