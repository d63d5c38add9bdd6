"""Arithmetic by a parser of our own: exact for + - * / and whole powers, in bounded time and memory.

sum     = product {("+" | "-") product}
product = signed {("*" | "/" | "//" | "%") signed}
signed  = {"+" | "-"} power
power   = atom [("^" | "**") signed]
atom    = number | name | name "(" sum {"," sum} ")" | "(" sum ")"
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction

from evaluation.demo.toolbox import Tool, ToolError
from evaluation.jsonl import quote

MAX_LENGTH = 1000
MAX_DEPTH = 50
MAX_BITS = 4096
MAX_EXPONENT = 400
DIGITS = 20
"""Of a result that isn't a finite decimal."""

type Number = Fraction | float

_TOKEN = re.compile(
    r"\s*+(?:(?P<number>(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?)"
    r"|(?P<name>[A-Za-z][A-Za-z0-9]*+)|(?P<sign>\*\*|//|[-+*/%^(),]))"
)


def evaluate(expression: str) -> str:
    """The value of ``expression``, exact where a decimal can be.

    Raises:
        ToolError: no expression, no value, or a number that is too large.
    """
    if len(expression) > MAX_LENGTH:
        raise ToolError(f"an expression of {len(expression)} characters; {MAX_LENGTH} are read")
    parser = _Parser(_tokens(expression))
    try:
        value = parser.sum(0)
        parser.end()
        return _written(_checked(value))
    except ZeroDivisionError:
        raise ToolError("division by zero") from None
    except OverflowError:
        raise ToolError("a number is too large") from None
    except (ValueError, TypeError) as error:  # math's own words, such as "math domain error"
        raise ToolError(str(error)) from None


CALCULATOR = Tool(
    "calculator",
    "Compute an arithmetic expression, exactly where possible: + - * / // % ^ ( ), pi, e, and abs ceil cos exp floor "
    "ln log2 log10 max min round sin sqrt tan. Angles in radians.",
    {"expression": {"type": "string", "description": "such as (12.5 + 3) * 1.19 or round(100 / 7, 2)"}},
    evaluate,
)


def _tokens(expression: str) -> list[tuple[str, str]]:
    tokens, position, text = [], 0, expression.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ToolError(f"can't read {quote(text[position:].strip(), 20)}")
        tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent; ``depth`` counts open brackets, signs and powers."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._position = 0

    def end(self) -> None:
        if self._position < len(self._tokens):
            raise ToolError(f"{quote(self._tokens[self._position][1])} doesn't belong there")

    def sum(self, depth: int) -> Number:
        value = self._product(depth)
        while sign := self._take("+", "-"):
            value = _apply(sign, value, self._product(depth))
        return value

    def _product(self, depth: int) -> Number:
        value = self._signed(depth)
        while sign := self._take("*", "//", "/", "%"):
            value = _apply(sign, value, self._signed(depth))
        return value

    def _signed(self, depth: int) -> Number:
        negative = False
        while sign := self._take("+", "-"):
            negative ^= sign == "-"
        value = self._atom(depth)
        if self._take("^", "**"):
            value = _power(value, self._signed(_deeper(depth)))
        return -value if negative else value

    def _atom(self, depth: int) -> Number:
        kind, text = self._next()
        if kind == "number":
            return _number(text)
        if kind == "name":
            return self._named(text, depth)
        if text != "(":
            raise ToolError(f"{quote(text)} doesn't belong there")
        value = self.sum(_deeper(depth))
        self._expect(")")
        return value

    def _named(self, name: str, depth: int) -> Number:
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name not in _FUNCTIONS:
            known = ", ".join([*_CONSTANTS, *_FUNCTIONS])
            raise ToolError(f"{quote(name, 20)} is unknown; there are {known}")
        least, most, function = _FUNCTIONS[name]
        self._expect("(")
        values = [self.sum(_deeper(depth))]
        while self._take(","):
            values.append(self.sum(_deeper(depth)))
        self._expect(")")
        if not least <= len(values) <= most:
            raise ToolError(f"{name} takes {least if least == most else f'{least} to {most}'} arguments")
        return _checked(function(*values))

    def _next(self) -> tuple[str, str]:
        if self._position == len(self._tokens):
            raise ToolError("the expression ends too early")
        self._position += 1
        return self._tokens[self._position - 1]

    def _take(self, *signs: str) -> str:
        if self._position < len(self._tokens) and self._tokens[self._position][1] in signs:
            return self._next()[1]
        return ""

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise ToolError(f"a {quote(sign)} is missing")


def _deeper(depth: int) -> int:
    if depth >= MAX_DEPTH:
        raise ToolError(f"nested more than {MAX_DEPTH} deep")
    return depth + 1


def _number(text: str) -> Fraction:
    exponent = re.search(r"[eE]([+-]?[0-9]+)$", text)
    if exponent and (len(exponent[1]) > 5 or abs(int(exponent[1])) > MAX_EXPONENT):
        raise OverflowError
    return Fraction(text)


def _apply(sign: str, left: Number, right: Number) -> Number:
    match sign:
        case "+":
            return _checked(left + right)
        case "-":
            return _checked(left - right)
        case "*":
            return _checked(left * right)
        case "/":
            return _checked(left / right)
        case "//":
            return _checked(Fraction(left // right))
        case _:
            return _checked(left % right)


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        if abs(exponent) * _bits(base) <= MAX_BITS:
            return _checked(Fraction(base**exponent.numerator))
        if abs(base) == 1:
            return base if exponent.numerator % 2 else Fraction(1)
    value = float(base) ** float(exponent)
    if isinstance(value, complex):
        raise ToolError("a power of a negative number that isn't real")
    return _checked(value)


def _checked(value: Number) -> Number:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise OverflowError
        return value
    if _bits(value) > MAX_BITS:
        raise OverflowError
    return value


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _round(value: Number, digits: Number = Fraction(0)) -> Fraction:
    """To the nearest, halves away from zero."""
    if digits != int(digits) or not 0 <= digits <= MAX_EXPONENT:
        raise ToolError(f"round: digits are a whole number from 0 to {MAX_EXPONENT}")
    scale = 10 ** int(digits)
    rounded = Fraction(math.floor(abs(Fraction(value)) * scale + Fraction(1, 2)), scale)
    return rounded if value >= 0 else -rounded


def _sqrt(value: Number) -> Number:
    """Exact for squares of fractions."""
    if isinstance(value, Fraction) and value >= 0:
        root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
        if root * root == value:
            return root
    return math.sqrt(value)


_CONSTANTS: dict[str, float] = {"pi": math.pi, "e": math.e}
_MANY = 100
_FUNCTIONS: dict[str, tuple[int, int, Callable[..., Number]]] = {
    "abs": (1, 1, abs),
    "ceil": (1, 1, lambda value: Fraction(math.ceil(value))),
    "cos": (1, 1, math.cos),
    "exp": (1, 1, math.exp),
    "floor": (1, 1, lambda value: Fraction(math.floor(value))),
    "ln": (1, 1, math.log),
    "log2": (1, 1, math.log2),
    "log10": (1, 1, math.log10),
    "max": (1, _MANY, lambda *values: max(values)),
    "min": (1, _MANY, lambda *values: min(values)),
    "round": (1, 2, _round),
    "sin": (1, 1, math.sin),
    "sqrt": (1, 1, _sqrt),
    "tan": (1, 1, math.tan),
}


def _written(value: Number) -> str:
    if isinstance(value, float):
        return f"{value:.15g}"
    if value.denominator == 1:
        return str(value.numerator)
    rest = value.denominator
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    with localcontext() as context:
        context.prec = DIGITS
        short = Decimal(value.numerator) / Decimal(value.denominator)
        if rest == 1 and Fraction(short) == value:
            return f"{short:f}" if -DIGITS < short.adjusted() < DIGITS else str(short)
        return f"{short} (rounded)"
