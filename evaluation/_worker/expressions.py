"""What Python's ``eval`` gives for arithmetic, literals and calls of named functions, by parsing alone.

Names, attributes, subscripts, comprehensions, conditions and formatted strings are refused, and so is a result
that would be too large to make.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable
from typing import Any

from evaluation.operators import BINARY, UNARY

MAX_BITS = 1 << 14
"""Of an integer; Python prints none of more than 4,300 digits."""
MAX_ITEMS = 100_000
"""Characters and elements of a repeated text or list."""

type Lookup = Callable[[str], Callable[..., Any] | None]
"""What may be called, by the name it is written with, ``f`` or ``a.f``; None for all else."""


def evaluate(text: str, lookup: Lookup) -> Any:
    """The value of an expression.

    Raises:
        Exception: what Python raises for it, with the same text where a simulated API shows it to a model
            (SyntaxError, NameError, TypeError, whatever a function raises); TypeError for what is refused;
            OverflowError for what is too large.
    """
    return _value(ast.parse(text.lstrip(" \t"), "<string>", "eval").body, lookup)


def _value(node: ast.expr, lookup: Lookup) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Tuple():
            return tuple(_value(element, lookup) for element in node.elts)
        case ast.List():
            return [_value(element, lookup) for element in node.elts]
        case ast.Set():
            return {_value(element, lookup) for element in node.elts}
        case ast.Dict():
            pairs = zip(node.keys, node.values, strict=True)
            return {_value(_present(k), lookup): _value(v, lookup) for k, v in pairs}
        case ast.UnaryOp():
            return UNARY[type(node.op)](_value(node.operand, lookup))
        case ast.BinOp():
            return _combine(type(node.op), _value(node.left, lookup), _value(node.right, lookup))
        case ast.Call():
            return _call(node, lookup)
        case ast.Name():
            raise NameError(f"name '{node.id}' is not defined")
    raise TypeError(f"{type(node).__name__} isn't evaluated")


def _call(node: ast.Call, lookup: Lookup) -> Any:
    root, path = node.func, []
    while isinstance(root, ast.Attribute):
        path.append(root.attr)
        root = root.value
    if not isinstance(root, ast.Name):
        raise TypeError(f"a call of {type(root).__name__} isn't evaluated")
    function = lookup(".".join([root.id, *reversed(path)]))
    if function is None:
        raise NameError(f"name '{root.id}' is not defined")
    positional = [_value(argument, lookup) for argument in node.args]
    named: dict[str, Any] = {}
    for keyword in node.keywords:
        name = _present(keyword.arg)
        if name in named:
            raise SyntaxError(f"keyword argument repeated: {name}", ("<string>", 1, None, None))
        named[name] = _value(keyword.value, lookup)
    return function(*positional, **named)


def _present[T](part: T | None) -> T:
    """A key of a dict or the name of an argument; Python's parser gives None for one that is unpacked."""
    if part is None:
        raise TypeError("unpacking isn't evaluated")
    return part


def _combine(kind: type[ast.operator], left: Any, right: Any) -> Any:
    if kind not in BINARY:
        raise TypeError(f"unsupported operand type(s) for {kind.__name__}")
    if kind in (ast.Pow, ast.LShift, ast.Mult) and _is_too_large(kind, left, right):
        raise OverflowError("a value too large to compute")
    if kind is ast.Mod and isinstance(left, str | bytes) and _pads(left):
        raise OverflowError("a text too long to format")
    return BINARY[kind](left, right)


def _is_too_large(kind: type[ast.operator], left: Any, right: Any) -> bool:
    if isinstance(left, int) and isinstance(right, int):
        if kind is ast.Pow:
            return right > 0 and abs(left) > 1 and math.log2(abs(left)) * right > MAX_BITS
        if kind is ast.LShift:
            return right > MAX_BITS
        return left.bit_length() + right.bit_length() > MAX_BITS
    if kind is ast.Mult:
        times, repeated = (left, right) if isinstance(left, int) else (right, left)
        return isinstance(times, int) and times > 1 and _weigh(repeated) * times > MAX_ITEMS
    return False


def _weigh(value: Any) -> int:
    """Characters and elements in ``value``, nested ones too."""
    if isinstance(value, str | bytes):
        return len(value) + 1
    if isinstance(value, list | tuple):
        return 1 + sum(_weigh(element) for element in value)
    return 1


def _pads(template: str | bytes) -> bool:
    """Whether a %-format asks for a width or precision of four digits or more, or takes one from the values."""
    text = template.decode("latin-1") if isinstance(template, bytes) else template
    return re.search(r"\*|[0-9]{4}", text) is not None
