"""Texts that match a regular expression, for schemas whose only word on a value is ``pattern``."""

from __future__ import annotations

import re._constants as codes  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

_NUM_REPEATS = 3
_NUM_TRIES = 50
_MAX_REPEATS, _NUM_LONG_TRIES = 64, 500
_CLASSES = {
    codes.CATEGORY_DIGIT: "0123456789",
    codes.CATEGORY_WORD: "abcdefghijklmnopqrstuvwxyz0123456789",
    codes.CATEGORY_SPACE: " ",
    codes.CATEGORY_NOT_DIGIT: "abcdefghijklmnopqrstuvwxyz",
    codes.CATEGORY_NOT_SPACE: "abcdefghijklmnopqrstuvwxyz0123456789",
    codes.CATEGORY_NOT_WORD: " -.,",
}
_PRINTABLE = "".join(map(chr, range(32, 127)))


def draw_match(pattern: str, rng: Random, fits: Callable[[str], bool], shortest: int = 0) -> str:
    """A text that matches ``pattern`` and passes ``fits``, which checks pattern and length.

    Args:
        shortest: length below which nothing fits; what may be repeated is repeated as often if need be.

    Raises:
        ValueError: the pattern is broken, uses look-around, or none of the drawn texts passes.
    """
    try:
        tree = parser.parse(pattern)
    except parser.error as error:  # type: ignore[attr-defined]
        raise ValueError(f"pattern {pattern}: {error}") from None
    for repeats, tries in ((_NUM_REPEATS, _NUM_TRIES), (min(shortest, _MAX_REPEATS), _NUM_LONG_TRIES)):
        for _ in range(tries if repeats >= _NUM_REPEATS else 0):
            if fits(text := _draw(tree, rng, {}, repeats)):
                return text
    raise ValueError(f"pattern {pattern}: no match was found; give the schema an example or an enum")


def _draw(tree: Iterable[Any], rng: Random, groups: dict[int, str], repeats: int) -> str:
    return "".join(_draw_one(code, argument, rng, groups, repeats) for code, argument in tree)


def _draw_one(code: Any, argument: Any, rng: Random, groups: dict[int, str], repeats: int) -> str:
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
        count = rng.randint(low, min(int(high), low + repeats))
        return "".join(_draw(inner, rng, groups, repeats) for _ in range(count))
    if code == codes.SUBPATTERN:
        number, _, _, inner = argument
        groups[number] = _draw(inner, rng, groups, repeats)
        return groups[number]
    if code == codes.BRANCH:
        return _draw(rng.choice(argument[1]), rng, groups, repeats)
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
