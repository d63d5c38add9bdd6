"""Python files: public functions and public classes' methods, from signatures and docstrings; never run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from data_synth.tools.importers.annotations import schema_of
from data_synth.tools.importers.docstrings import Docstring, parse_docstring
from data_synth.tools.importers.draft import Draft, Found, Item, Rejection, UnusableError

type Function = ast.FunctionDef | ast.AsyncFunctionDef

_NO_TOOLS = frozenset(
    ["property", "overload", "abstractmethod", "setter", "getter", "cached_property", "fixture"]
)


def recognises(item: Item) -> bool:
    """Whether it is a Python file."""
    return item.path.suffix == ".py"


def read(item: Item) -> Found:
    """The callables of a file."""
    try:
        tree = ast.parse(item.value)
    except (SyntaxError, ValueError, RecursionError) as error:
        yield Rejection("not_python", str(error), item.path.stem, item.place)
        return
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for name, node, is_method in _callables(tree):
        place = f"{item.place} line {node.lineno}"
        try:
            yield _draft(name, node, is_method, classes, item, place)
        except UnusableError as error:
            yield Rejection(error.reason, error.detail, name, place)


def _callables(tree: ast.Module) -> Iterator[tuple[str, Function, bool]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_public(node):
            yield node.name, node, False
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and _is_public(inner):
                    is_static = "staticmethod" in _decorators(inner)
                    yield f"{node.name}.{inner.name}", inner, not is_static


def _is_public(node: Function) -> bool:
    return not node.name.startswith("_") and _NO_TOOLS.isdisjoint(_decorators(node))


def _decorators(node: Function) -> set[str]:
    names = set()
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        names.add(called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", ""))
    return names


def _draft(
    name: str, node: Function, is_method: bool, classes: Mapping[str, ast.ClassDef], item: Item, place: str
) -> Draft:
    said = parse_docstring(ast.get_docstring(node))
    output = schema_of(node.returns, classes) if node.returns else None
    if output and said.returns:
        output.setdefault("description", said.returns)
    return Draft(
        name=name,
        description=said.description,
        parameters=_parameters(node, is_method, said, classes),
        output=output if output and output.get("type") != "null" else None,
        domain=item.path.stem,
        place=place,
    )


def _parameters(
    node: Function, is_method: bool, said: Docstring, classes: Mapping[str, ast.ClassDef]
) -> dict[str, Any]:
    positional = [*node.args.posonlyargs, *node.args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(node.args.defaults))
    pairs = [*zip(positional, [*defaults, *node.args.defaults], strict=True)][int(is_method) :]
    pairs += zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    properties, required = {}, []
    for argument, default in pairs:
        schema = _schema(argument, said, classes)
        if argument.arg in said.parameters:
            schema["description"] = said.parameters[argument.arg]
        if default is None:
            required.append(argument.arg)
        elif isinstance(default, ast.Constant) and default.value is not None:
            schema.setdefault("default", default.value)
            if not schema.keys() & {"type", "anyOf", "enum", "items"}:
                schema["type"] = type(default.value).__name__
        properties[argument.arg] = schema
    return {"type": "object", "properties": properties, "required": required}


def _schema(argument: ast.arg, said: Docstring, classes: Mapping[str, ast.ClassDef]) -> dict[str, Any]:
    """Of the annotation, else of the type that the docstring names where that is one."""
    told = said.types.get(argument.arg)
    if argument.annotation is not None or not told:
        return schema_of(argument.annotation, classes)
    try:
        return schema_of(ast.parse(told, mode="eval").body, classes)
    except (SyntaxError, UnusableError):
        return {}
