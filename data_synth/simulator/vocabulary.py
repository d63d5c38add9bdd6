"""What values of a kind look like: lists and sentence patterns in ``kinds/en.yaml`` and ``kinds/zh.yaml``.

An entry of a list may name other kinds in braces, and digits as ``{#4}``: ``{given_name} {family_name}``,
``PX{#8}``. A kind that a language lacks is taken from English: codes, emails, tickers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from random import Random
from typing import Any

from data_synth.package_data import read_yaml

_PART = re.compile(r"\{([^{}]+)\}")
NUM_VALUES = 5000
"""Of ``kind_values``: a pattern of three lists has millions."""


@cache
def vocabulary(language: str) -> dict[str, tuple[str, ...]]:
    """Kind to the entries of its list, with patterns as they are written."""
    loaded: dict[str, Any] = read_yaml("data_synth.simulator", "kinds", f"{language}.yaml")
    own = {kind: tuple(_entries(entries)) for kind, entries in loaded.items()}
    return own if language == "en" else vocabulary("en") | own


def _entries(written: str | list[Any]) -> Iterator[str]:
    if isinstance(written, list):
        yield from map(str, written)
    else:
        yield from (entry.strip() for entry in written.split("|"))


@cache
def kind_values(kind: str, language: str) -> tuple[str, ...]:
    """Values of ``kind`` as text, each once; empty where there is no list (numbers, dates, ids).

    Args:
        language: ``en`` or ``zh``.

    Returns:
        All of them in their order but those with digits, or ``NUM_VALUES`` drawn ones where patterns have more.
    """
    listed = tuple(islice(_expansions(f"{{{kind}}}", language), NUM_VALUES + 1))
    if len(listed) > NUM_VALUES:
        rng = Random(f"{kind}/{language}")
        listed = tuple(draw(kind, rng, language) for _ in range(NUM_VALUES))
    return tuple(dict.fromkeys(listed))


def draw(kind: str, rng: Random, language: str) -> str:
    """One value of a kind that has a list, its parts drawn one by one.

    Raises:
        KeyError: it has none.
    """
    lists = vocabulary(language)

    def part(match: re.Match[str]) -> str:
        name = match[1]
        if name[0] == "#":
            return str(rng.randrange(10 ** (int(name[1:]) - 1), 10 ** int(name[1:])))
        return _PART.sub(part, rng.choice(lists[name]))

    return _PART.sub(part, rng.choice(lists[kind]))


def _expansions(text: str, language: str) -> Iterator[str]:
    match = _PART.search(text)
    if match is None:
        yield text
        return
    name = match[1]
    entries = ("",) if name[0] == "#" else vocabulary(language).get(name, ())
    if name[0] == "#":
        return
    for entry in entries:
        for inside in _expansions(entry, language):
            for rest in _expansions(text[match.end() :], language):
                yield text[: match.start()] + inside + rest
