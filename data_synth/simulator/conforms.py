"""Whether a value conforms to a JSON schema: compiled once per schema, some twenty times as fast as ``jsonschema``.

What the compiler doesn't know (``pattern``, ``anyOf``, ``$ref`` …) goes to ``jsonschema`` itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema

type Check = Callable[[Any], bool]

_KNOWN = frozenset(
    [
        "type",
        "enum",
        "const",
        "minimum",
        "maximum",
        "properties",
        "required",
        "items",
        "minItems",
        "maxItems",
        "additionalProperties",
    ]
)
_ANNOTATIONS = frozenset(
    ["title", "description", "default", "examples", "format", "example", "nullable", "deprecated", "$schema"]
)
_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
_checks: dict[int, tuple[Any, Check]] = {}


def conforms(value: Any, schema: Mapping[str, Any]) -> bool:
    """As ``jsonschema.Draft202012Validator(schema).is_valid(value)``; ``schema`` must not change afterwards."""
    found = _checks.get(id(schema))
    if found is None:
        found = _checks[id(schema)] = (
            schema,
            compile_schema(schema),
        )  # the schema is kept: its id stays taken
    return found[1](value)


def compile_schema(schema: Any) -> Check:
    """The check of ``schema`` as a function."""
    if not isinstance(schema, Mapping):
        return (lambda _: True) if schema is not False else (lambda _: False)
    unknown = [key for key in schema if key not in _KNOWN and key not in _ANNOTATIONS and key[:2] != "x-"]
    if unknown or not isinstance(schema.get("items", {}), Mapping):
        return jsonschema.Draft202012Validator(schema).is_valid
    checks = [*_type_check(schema), *_value_checks(schema), *_array_checks(schema), *_object_checks(schema)]
    if len(checks) == 1:
        return checks[0]
    return lambda value: all(check(value) for check in checks)


def same(a: Any, b: Any) -> bool:
    """JSON equality: ``1`` and ``1.0`` are equal, ``1`` and ``true`` aren't."""
    if isinstance(a, str | int | float) and isinstance(b, str | int | float):
        return a == b and isinstance(a, bool) == isinstance(b, bool)
    if isinstance(a, dict | list) and isinstance(b, dict | list):
        return canonical(a) == canonical(b) or (type(a) is type(b) and _same_inside(a, b))
    return a is b


def canonical(value: Any) -> str:
    """The same text for the same value, whatever the order of its keys."""
    return _encode(value)


def _same_inside(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, Check] = {
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}


def _type_check(schema: Mapping[str, Any]) -> list[Check]:
    named = schema.get("type")
    if named is None:
        return []
    checks = [_TYPES[name] for name in ([named] if isinstance(named, str) else named)]
    return checks if len(checks) == 1 else [lambda value: any(check(value) for check in checks)]


def _value_checks(schema: Mapping[str, Any]) -> list[Check]:
    checks: list[Check] = []
    if "const" in schema:
        checks.append(lambda value, const=schema["const"]: same(value, const))  # type: ignore[misc]
    if "enum" in schema:
        checks.append(lambda value, enum=schema["enum"]: any(same(value, one) for one in enum))  # type: ignore[misc]
    if "minimum" in schema:
        checks.append(lambda value, low=schema["minimum"]: not _is_number(value) or value >= low)  # type: ignore[misc]
    if "maximum" in schema:
        checks.append(lambda value, high=schema["maximum"]: not _is_number(value) or value <= high)  # type: ignore[misc]
    return checks


def _array_checks(schema: Mapping[str, Any]) -> list[Check]:
    low, high = schema.get("minItems", 0), schema.get("maxItems", float("inf"))
    checks: list[Check] = []
    if low or high != float("inf"):
        checks.append(lambda value: not isinstance(value, list) or low <= len(value) <= high)
    if schema.get("items"):
        item = compile_schema(schema["items"])
        checks.append(lambda value: not isinstance(value, list) or all(map(item, value)))
    return checks


def _object_checks(schema: Mapping[str, Any]) -> list[Check]:
    checks: list[Check] = []
    properties = {name: compile_schema(inner) for name, inner in schema.get("properties", {}).items()}
    if required := tuple(schema.get("required", ())):
        checks.append(lambda value: not isinstance(value, dict) or all(name in value for name in required))
    if properties:
        checks.append(
            lambda value: (
                not isinstance(value, dict)
                or all(check(value[name]) for name, check in properties.items() if name in value)
            )
        )
    others = schema.get("additionalProperties", True)
    if others is not True and others != {}:
        check_other = compile_schema(others)
        checks.append(
            lambda value: (
                not isinstance(value, dict)
                or all(check_other(inner) for name, inner in value.items() if name not in properties)
            )
        )
    return checks
