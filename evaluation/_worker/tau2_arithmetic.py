"""Arithmetic for τ²-bench's ``calculate``, which hands the model's text to Python's ``eval``: here it is parsed.

The value, or the exception, is the one of ``eval`` wherever that comes to an end with a number that a float can
hold; a power too large for any float is refused before it is computed.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable
from typing import Any

MAX_BITS = 1 << 17
"""Far above the 1,024 bits of the largest float; what is larger ends in the same OverflowError."""

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


def evaluate(expression: str, *_: object) -> Any:
    """The value of digits, ``+ - * / ** //`` and parentheses; takes ``eval``'s further arguments and ignores them.

    Raises:
        SyntaxError, TypeError, ArithmeticError, RecursionError, MemoryError: as ``eval`` would.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # "2(3)": perhaps you missed a comma
        tree = ast.parse(expression.lstrip(" \t"), "<string>", "eval")
    return _value(tree.body)


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Tuple(elts=[]):
            return ()
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _UNARY:
            return _UNARY[type(sign)](_value(operand))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:
            return _BINARY[type(sign)](_value(left), _value(right))
        case ast.Call(func=function):
            raise TypeError(f"'{type(_value(function)).__name__}' object is not callable")
    raise SyntaxError("invalid syntax")


def _power(base: Any, exponent: Any) -> Any:
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and abs(base) > 1 and exponent * base.bit_length() > MAX_BITS:
        raise OverflowError("int too large to convert to float")
    return base**exponent
