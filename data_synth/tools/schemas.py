"""JSON schemas of many dialects to the one that the project uses: plain, narrow, without references.

Types have JSON schema's names, unions are narrowed to their first member that isn't null (a value of the narrower
schema is one of the wider), keywords of the wrong type are left out. The result is always a valid schema.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from typing import Any

from data_synth.tools.importers.draft import UnusableError
from data_synth.tools.tool import KIND

_TYPES = {
    "object": "dict map hashmap hashtable struct record object mapping",
    "array": "array list tuple set arraylist sequence queue stack vector",
    "string": "str text char character date datetime enum uuid url uri file binary bytes byte[] string",
    "integer": "int long short byte bigint int32 int64 integer",
    "number": "float double decimal numeric number",
    "boolean": "bool boolean",
}
_NAMES = {name: json_type for json_type, names in _TYPES.items() for name in names.split()}
_ANY = frozenset({"any", "object|any", "unknown", "mixed", "*"})
_NULL = frozenset({"null", "none", "nonetype", "void"})
_PYTHON: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}
_WHOLE = ("minLength", "maxLength", "minItems", "maxItems")
_BOUNDS = {"integer": ("minimum", "maximum"), "number": ("minimum", "maximum")} | {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
}
MAX_DEPTH = 8
_LEGAL_PROPERTY = re.compile(r"[^A-Za-z0-9_.\-\u00c0-\U0010ffff]+")


def normalise(schema: Any, cut: bool = False, depth: int = 0) -> dict[str, Any]:
    """The schema in the project's dialect.

    Args:
        schema: of any of the known dialects.
        cut: leave out what nests deeper than ``MAX_DEPTH``.
        depth: of this part.

    Raises:
        UnusableError: ``bad_schema``: it isn't a schema, names an unknown type, contradicts itself, or nests deeper
            than ``MAX_DEPTH`` where it isn't cut.
    """
    if schema is None or schema is True:
        return {"type": "string"}
    if not isinstance(schema, Mapping):
        raise UnusableError("bad_schema", f"{str(schema)[:60]!r} where a schema is expected")
    if depth > MAX_DEPTH and not cut:
        raise UnusableError("bad_schema", f"nests deeper than {MAX_DEPTH} levels")
    schema = narrowed(schema)
    kind = _type(schema)
    clean: dict[str, Any] = {"type": kind}
    for key in ("description", KIND):
        if isinstance(schema.get(key), str) and schema[key].strip():
            clean[key] = " ".join(schema[key].split())
    if depth > MAX_DEPTH and kind in ("object", "array"):
        return clean
    if kind == "object":
        _add_properties(schema, clean, cut, depth)
    elif kind == "array":
        items = schema.get("items")
        item = items[0] if isinstance(items, list) and items else items or None
        clean["items"] = normalise(item, cut, depth + 1)
    _add_bounds(schema, clean, kind)
    _add_values(schema, clean, kind)
    return clean


def property_name(name: Any) -> str:
    """A name as models may be given it: other characters become underscores, at most 64."""
    return _LEGAL_PROPERTY.sub("_", str(name).strip()).strip("_.-")[:64]


def accepts(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether a value has the type and bounds of a normalised schema, one level deep."""
    kind = schema["type"]
    if not isinstance(value, _PYTHON[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return False
    if isinstance(value, float) and not math.isfinite(value):
        return False
    low, high = (schema.get(key) for key in _BOUNDS.get(kind, ("", "")))
    size = len(value) if isinstance(value, str | list) else value
    if (low is not None and size < low) or (high is not None and size > high):
        return False
    return "pattern" not in schema or re.search(schema["pattern"], str(value)) is not None


def narrowed(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema without unions and conjunctions: the first member that isn't null; all members in one."""
    for key in ("anyOf", "oneOf"):
        members = schema.get(key)
        if isinstance(members, list) and members:
            told = [member for member in members if isinstance(member, Mapping) and not _is_null(member)]
            rest = {name: value for name, value in schema.items() if name != key}
            return narrowed({**(told[0] if told else {}), **rest})
    if isinstance(schema.get("allOf"), list):
        merged = {name: value for name, value in schema.items() if name != "allOf"}
        for member in schema["allOf"]:
            if isinstance(member, Mapping):
                _merge(merged, narrowed(member))
        return merged
    return schema


def _merge(into: dict[str, Any], member: Mapping[str, Any]) -> None:
    for key, value in member.items():
        present = into.get(key)
        if key == "properties" and isinstance(present, Mapping) and isinstance(value, Mapping):
            into[key] = {**present, **value}
        elif key == "required" and isinstance(present, list) and isinstance(value, list):
            into[key] = present + value
        else:
            into.setdefault(key, value)


def _is_null(schema: Mapping[str, Any]) -> bool:
    return str(schema.get("type")).lower() in _NULL


def _type(schema: Mapping[str, Any]) -> str:
    """JSON schema's name of the type that is written, or that the keywords tell."""
    named = schema.get("type")
    if isinstance(named, list):
        told = [name for name in named if str(name).lower() not in _NULL]
        named = told[0] if told else None
    if isinstance(named, str) and named.strip() and named.lower() not in _ANY | _NULL:
        bare = re.split(r"[\[<(]", named.strip().lower())[0].strip()
        if bare not in _NAMES:
            raise UnusableError("bad_schema", f"unknown type {named!r}")
        return _NAMES[bare]
    if named is not None and not isinstance(named, str):
        raise UnusableError("bad_schema", f"{str(named)[:60]!r} where a type is expected")
    if isinstance(schema.get("properties"), Mapping):
        return "object"
    if "items" in schema:
        return "array"
    enum = schema.get("enum")
    if isinstance(enum, list) and enum:
        return next((name for name in ("boolean", "integer", "number") if _all_are(enum, name)), "string")
    return "string"


def _all_are(values: list[Any], kind: str) -> bool:
    return all(accepts({"type": kind}, value) for value in values)


def _add_properties(schema: Mapping[str, Any], clean: dict[str, Any], cut: bool, depth: int) -> None:
    given = schema.get("properties")
    properties: dict[str, Any] = {}
    renamed: dict[str, str] = {}
    for name, inner in given.items() if isinstance(given, Mapping) else ():
        legal = property_name(name)
        if not legal:
            raise UnusableError("bad_schema", f"a property called {name!r}")
        if legal in properties:
            raise UnusableError("bad_schema", f"two properties called {legal!r}")
        try:
            properties[legal] = normalise(inner, cut, depth + 1)
        except UnusableError as error:
            raise UnusableError(error.reason, f"{legal}: {error.detail}") from None
        renamed[str(name)] = legal
    clean["properties"] = properties
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    clean["required"] = list(dict.fromkeys(renamed[str(name)] for name in names if str(name) in renamed))
    if schema.get("additionalProperties") is False:
        clean["additionalProperties"] = False


def _add_bounds(schema: Mapping[str, Any], clean: dict[str, Any], kind: str) -> None:
    if kind not in _BOUNDS:
        return
    for key in _BOUNDS[kind]:
        bound = _whole_bound(schema, key) if kind == "integer" else schema.get(key)
        is_number = isinstance(bound, int | float) and not isinstance(bound, bool) and math.isfinite(bound)
        if is_number and (key not in _WHOLE or (isinstance(bound, int) and bound >= 0)):
            clean[key] = bound
    low, high = (clean.get(key) for key in _BOUNDS[kind])
    if low is not None and high is not None and low > high:
        raise UnusableError("bad_schema", f"{_BOUNDS[kind][0]} {low} above {_BOUNDS[kind][1]} {high}")
    if kind == "string":
        _add_text_bounds(schema, clean)


def _whole_bound(schema: Mapping[str, Any], key: str) -> Any:
    """A bound of an integer, whether it is the last value that is allowed or the first that isn't."""
    exclusive = schema.get(key.replace("m", "exclusiveM", 1))
    if not isinstance(exclusive, int) or isinstance(exclusive, bool):
        return schema.get(key)
    return exclusive + 1 if key == "minimum" else exclusive - 1


def _add_text_bounds(schema: Mapping[str, Any], clean: dict[str, Any]) -> None:
    named = schema.get("type")
    if isinstance(schema.get("format"), str):
        clean["format"] = schema["format"]
    elif isinstance(named, str) and named.lower() == "date":
        clean["format"] = "date"
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        try:
            with warnings.catch_warnings(action="ignore", category=FutureWarning):
                re.compile(pattern)
        except (re.error, OverflowError):
            return
        clean["pattern"] = pattern


def _add_values(schema: Mapping[str, Any], clean: dict[str, Any], kind: str) -> None:
    """Choices and default, as far as they are of the type; text is read as the type's where it is one's."""
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(choices, list) and kind not in ("object", "array"):
        read = [_read(choice, kind) for choice in choices]
        legal = [choice for choice in read if accepts(clean, choice)]
        if legal:
            clean["enum"] = [choice for place, choice in enumerate(legal) if choice not in legal[:place]]
    default = _read(schema.get("default"), kind)
    if default is not None and accepts(clean, default) and default in clean.get("enum", [default]):
        clean["default"] = default


def _read(value: Any, kind: str) -> Any:
    """A number or truth value that a source wrote as text."""
    if not isinstance(value, str) or kind == "string":
        return value
    text = value.strip().lower()
    if kind == "boolean":
        return {"true": True, "false": False}.get(text)
    try:
        return int(text) if kind in ("integer", "number") else None
    except ValueError:
        return _decimal(text) if kind == "number" else None


def _decimal(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
