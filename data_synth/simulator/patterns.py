"""Texts that match a regular expression, for schemas whose only word on a value is ``pattern``."""

from __future__ import annotations

import re._constants as codes  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

_NUM_REPEATS = 3
_NUM_TRIES = 50
_CLASSES = {
    codes.CATEGORY_DIGIT: "0123456789",
    codes.CATEGORY_WORD: "abcdefghijklmnopqrstuvwxyz0123456789",
    codes.CATEGORY_SPACE: " ",
    codes.CATEGORY_NOT_DIGIT: "abcdefghijklmnopqrstuvwxyz",
    codes.CATEGORY_NOT_SPACE: "abcdefghijklmnopqrstuvwxyz0123456789",
    codes.CATEGORY_NOT_WORD: " -.,",
}
_PRINTABLE = "".join(map(chr, range(32, 127)))


def draw_match(pattern: str, rng: Random, fits: Callable[[str], bool]) -> str:
    """A text that matches ``pattern`` and passes ``fits``, which checks pattern and length.

    Raises:
        ValueError: the pattern is broken, uses look-around, or none of the drawn texts passes.
    """
    try:
        tree = parser.parse(pattern)
    except parser.error as error:  # type: ignore[attr-defined]
        raise ValueError(f"pattern {pattern}: {error}") from None
    for _ in range(_NUM_TRIES):
        if fits(text := _draw(tree, rng, {})):
            return text
    raise ValueError(f"pattern {pattern}: no match was found; give the schema an example or an enum")


def _draw(tree: Iterable[Any], rng: Random, groups: dict[int, str]) -> str:
    return "".join(_draw_one(code, argument, rng, groups) for code, argument in tree)


def _draw_one(code: Any, argument: Any, rng: Random, groups: dict[int, str]) -> str:
    if code == codes.LITERAL:
        return chr(argument)
    if code == codes.NOT_LITERAL:
        return rng.choice(_PRINTABLE.replace(chr(argument), ""))
    if code == codes.ANY:
        return rng.choice(_CLASSES[codes.CATEGORY_WORD])
    if code == codes.IN:
        return _draw_in(argument, rng)
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        low, high, inner = argument
        count = rng.randint(low, min(int(high), low + _NUM_REPEATS))
        return "".join(_draw(inner, rng, groups) for _ in range(count))
    if code == codes.SUBPATTERN:
        number, _, _, inner = argument
        groups[number] = _draw(inner, rng, groups)
        return groups[number]
    if code == codes.BRANCH:
        return _draw(rng.choice(argument[1]), rng, groups)
    if code == codes.GROUPREF:
        return groups.get(argument, "")
    return ""  # an anchor, or a look-around: whether it holds is checked on the whole text


def _draw_in(parts: list[Any], rng: Random) -> str:
    characters = ""
    for code, argument in parts:
        if code == codes.LITERAL:
            characters += chr(argument)
        elif code == codes.RANGE:
            characters += "".join(map(chr, range(argument[0], min(argument[1], argument[0] + 128) + 1)))
        elif code == codes.CATEGORY:
            characters += _CLASSES[argument]
    if parts[0][0] == codes.NEGATE:
        characters = "".join(sorted(set(_PRINTABLE) - set(characters)))
    return rng.choice(characters)
