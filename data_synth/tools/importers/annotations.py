"""Python annotations as JSON schemas, read from syntax trees: nothing is imported or run."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from data_synth.tools.importers.draft import UnusableError

_PLAIN: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "bytes": {"type": "string"},
    "Decimal": {"type": "number"},
    "Path": {"type": "string"},
    "UUID": {"type": "string", "format": "uuid"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "time": {"type": "string", "format": "time"},
    "Any": {},
    "object": {},
    "None": {"type": "null"},
}
_LISTS = frozenset(
    ["list", "List", "set", "Set", "frozenset", "tuple", "Tuple", "Sequence", "Iterable", "Collection"]
)
_DICTS = frozenset(["dict", "Dict", "Mapping", "MutableMapping", "defaultdict", "OrderedDict"])
_ENUMS = frozenset(["Enum", "StrEnum", "IntEnum"])
_WRAPPERS = frozenset(["Annotated", "Required", "NotRequired", "ReadOnly", "Final", "ClassVar", "Awaitable"])
_MAX_DEPTH = 6


def schema_of(node: ast.expr | None, classes: Mapping[str, ast.ClassDef], depth: int = 0) -> dict[str, Any]:
    """The schema of an annotation; ``classes`` are those of the same file.

    Raises:
        UnusableError: ``bad_schema``: a type that isn't known.
    """
    if node is None:
        return {}
    if depth > _MAX_DEPTH:
        return {"type": "object"}
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return schema_of(_parsed(node.value), classes, depth)
        return {"type": "null"} if node.value is None else {}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return {"anyOf": [schema_of(side, classes, depth) for side in (node.left, node.right)]}
    if isinstance(node, ast.Subscript):
        return _subscripted(node, classes, depth)
    return _named(_name(node), classes, depth)


def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        raise UnusableError("bad_schema", f"annotation {text!r} isn't a type") from None


def _name(node: ast.expr) -> str:
    """``date`` of ``datetime.date``."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    raise UnusableError("bad_schema", f"annotation {ast.unparse(node)} isn't a type")


def _named(name: str, classes: Mapping[str, ast.ClassDef], depth: int) -> dict[str, Any]:
    if name in classes:
        return _class_schema(classes[name], classes, depth)
    if name in _LISTS:
        return {"type": "array"}
    if name in _DICTS:
        return {"type": "object"}
    if name not in _PLAIN:
        raise UnusableError("bad_schema", f"annotation {name} isn't known in this file")
    return dict(_PLAIN[name])


def _subscripted(node: ast.Subscript, classes: Mapping[str, ast.ClassDef], depth: int) -> dict[str, Any]:
    name = _name(node.value)
    arguments = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Literal":
        return {"enum": [literal.value for literal in arguments if isinstance(literal, ast.Constant)]}
    if name == "Optional":
        return {"anyOf": [schema_of(arguments[0], classes, depth), {"type": "null"}]}
    if name == "Union":
        return {"anyOf": [schema_of(argument, classes, depth) for argument in arguments]}
    if name in _LISTS:
        return {"type": "array", "items": schema_of(arguments[0], classes, depth + 1)}
    if name in _DICTS:
        return {"type": "object"}
    if name in _WRAPPERS:
        return schema_of(arguments[0], classes, depth) | _annotated(name, arguments[1:])
    return _named(name, classes, depth)


def _annotated(name: str, extras: list[ast.expr]) -> dict[str, Any]:
    """The first text beside an ``Annotated`` type is its description."""
    if name == "Annotated":
        for extra in extras:
            if isinstance(extra, ast.Constant) and isinstance(extra.value, str):
                return {"description": extra.value}
    return {}


def _class_schema(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef], depth: int) -> dict[str, Any]:
    """Of an enumeration its values, of any other class its annotated fields."""
    if _ENUMS & {_name(base) for base in node.bases if isinstance(base, ast.Name | ast.Attribute)}:
        assigned = [item.value for item in node.body if isinstance(item, ast.Assign)]
        return {"enum": [value.value for value in assigned if isinstance(value, ast.Constant)]}
    properties, required = {}, []
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            properties[item.target.id] = schema_of(item.annotation, classes, depth + 1)
            if item.value is None:
                required.append(item.target.id)
    return {"type": "object", "properties": properties, "required": required}
