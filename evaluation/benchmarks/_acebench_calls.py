"""Calls ``Name(key=value, …)`` in a model's text, read as ACEBench reads them (chenchen0103/ACEBench 56dd66c, MIT).

The official decoders walk Python's syntax tree and hand arithmetic and nested calls to ``eval``. Here the tree is
the same and nothing is evaluated: arithmetic over literals is worked out by ``_arithmetic`` within bounds, and what
only ``eval`` could answer (calls and names within arithmetic, results of more than some 12 kB) can't be read.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable
from typing import Any

from evaluation.operators import BINARY, UNARY

type Call = dict[Any, Any]
"""One call: its name to its arguments by name. Positional arguments are dropped, as officially."""

MOST_BYTES = 12_500
_BRACKET = re.compile(r"[\[\]]")


class UnreadableError(ValueError):
    """A text that holds no calls in the format asked for."""


def first_brackets(text: str) -> str | None:
    """The first outermost ``[…]``, wherever it stands; brackets within quotes count too. None where none closes."""
    start, depth = -1, 0
    for bracket in _BRACKET.finditer(text):
        if bracket[0] == "[":
            start = bracket.start() if depth == 0 else start
            depth += 1
        else:
            depth -= 1
            if depth == 0 and start >= 0:
                return text[start : bracket.end()]
    return None


def read_answer(text: str) -> list[Call]:
    """The calls of ``[A(…), B(…)]``, by the decoder that reads answers to be scored.

    Raises:
        UnreadableError: not a list, tuple or set of calls, or a value that the decoder doesn't know.
    """
    body = _parse(text)
    if not isinstance(body, ast.List | ast.Tuple | ast.Set):
        raise UnreadableError("no list of calls")
    return _read(body.elts, _nested_in_answer)


def read_command(text: str) -> list[Call]:
    """The calls that an agent wants executed, by the decoder of the scenes: brackets around them may be missing.

    Raises:
        UnreadableError: no Python expression, or a list of other things than calls.
    """
    text = text.removeprefix(" ")
    if not text:
        raise UnreadableError("nothing said")
    body = _parse(text.strip("[]'"))
    if isinstance(body, ast.Call):
        return _read([body], _nested_in_command)
    return _read(body.elts, _nested_in_command) if isinstance(body, ast.Tuple | ast.List) else []


def _parse(text: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of doubtful escapes in the model's strings
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnreadableError(f"no Python expression: {type(error).__name__}") from None


def _read(elements: list[ast.expr], nested: Callable[[ast.Call], Any]) -> list[Call]:
    calls = []
    for element in elements:
        if not isinstance(element, ast.Call):
            raise UnreadableError("something else than calls in the list")
        try:
            calls.append({_name(element.func): _arguments(element, nested)})
        except UnreadableError:
            raise
        except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise UnreadableError(f"an argument that can't be read: {type(error).__name__}") from None
    return calls


def _name(function: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if isinstance(function, ast.Name):
        parts.append(function.id)
    return ".".join(reversed(parts))


def _arguments(call: ast.Call, nested: Callable[[ast.Call], Any]) -> Call:
    return {keyword.arg: _value(keyword.value, nested) for keyword in call.keywords}


def _nested_in_answer(call: ast.Call) -> Any:
    return {_name(call.func): _arguments(call, _nested_in_answer)}


def _nested_in_command(call: ast.Call) -> Any:
    if not call.keywords:
        return ast.unparse(call)
    return {_name(call.func): _arguments(call, _nested_in_command)}


def _value(node: ast.expr | None, nested: Callable[[ast.Call], Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return "..." if value is Ellipsis else value
        case ast.UnaryOp(operand=ast.Constant(value=value)):
            return -value  # type: ignore[operator]  # whatever the operator is; a text raises TypeError
        case ast.List(elts=elements):
            return [_value(element, nested) for element in elements]
        case ast.Tuple(elts=elements):
            return tuple(_value(element, nested) for element in elements)
        case ast.Dict(keys=keys, values=values):
            return {_value(k, nested): _value(v, nested) for k, v in zip(keys, values, strict=True)}
        case ast.BinOp():
            return _arithmetic(node)
        case ast.Name(id=name):
            return name
        case ast.Call():
            return nested(node)
        case ast.Subscript(value=container, slice=index):
            return f"{ast.unparse(container)}[{ast.unparse(index)}]"
        case _:
            raise UnreadableError(f"an argument that is a {type(node).__name__}")


def _arithmetic(node: ast.expr) -> Any:
    """The value of an expression over numbers, texts, lists and tuples."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=elements):
            return [_arithmetic(element) for element in elements]
        case ast.Tuple(elts=elements):
            return tuple(_arithmetic(element) for element in elements)
        case ast.UnaryOp(op=sign, operand=operand):
            return UNARY[type(sign)](_arithmetic(operand))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in BINARY:
            a, b = _arithmetic(left), _arithmetic(right)
            if _bound(a, sign, b) > MOST_BYTES:
                raise UnreadableError("arithmetic with a result that is too large")
            return BINARY[type(sign)](a, b)
        case _:
            raise UnreadableError("arithmetic over something else than literals")


def _bound(a: Any, sign: ast.operator, b: Any) -> float:
    """How many bytes ``a sign b`` takes at most, roughly, known before it is worked out."""
    if isinstance(sign, ast.Mod) and isinstance(a, str | bytes):
        return float("inf")  # a format may name any width
    if isinstance(sign, ast.LShift) and isinstance(b, int):
        return _size(a) + max(b, 0)
    if isinstance(sign, ast.Pow) and isinstance(a, int) and isinstance(b, int):
        return _size(a) * max(b, 1)
    if isinstance(sign, ast.Mult) and not (isinstance(a, int) and isinstance(b, int)):
        times = next((side for side in (a, b) if isinstance(side, int)), 1)
        return max(_size(a), _size(b)) * max(times, 1)
    return _size(a) + _size(b)


def _size(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, list | tuple):
        return 1 + sum(_size(item) for item in value)
    return value.bit_length() // 8 + 1 if isinstance(value, int) else 1
