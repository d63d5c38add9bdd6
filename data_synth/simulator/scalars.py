"""Single texts and numbers of a schema, by its kind or, in imported tools, by what its words suggest."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from functools import cache
from random import Random
from typing import Any
from uuid import UUID

from data_synth.simulator.guess import (
    WEAK,
    example_of,
    guess_choices,
    guess_format,
    guess_kind,
    guess_range,
    is_whole,
)
from data_synth.simulator.patterns import draw_match
from data_synth.simulator.vocabulary import draw, vocabulary
from data_synth.tools.tool import KIND

YEAR = 2026
"""All dates are of this year, so that the same seed gives the same bytes at any time."""

_NUM_TRIES = 20
_DATES = {
    "date": "%Y-%m-%d",
    "date-slash": "%m/%d/%Y",
    "date-dots": "%d.%m.%Y",
    "date-dashes": "%d-%m-%Y",
    "date-compact": "%Y%m%d",
}


def draw_number(schema: Mapping[str, Any], kind: str, rng: Random, name: str) -> int | float:
    low, high = _bounds(schema, kind, name)
    if step := schema.get("multipleOf"):
        first, last = math.ceil(low / step), math.floor(high / step)
        value = rng.randint(first, max(first, last)) * step
        return int(value) if kind == "integer" else value
    if kind == "integer" or (KIND not in schema and is_whole(name, schema, low, high)):
        first, last = math.ceil(low), math.floor(high)
        if KIND in schema and first == 1 and last > 2:
            first = 2  # a sentence says "for 2 nights", and its pattern has the plural
        whole = rng.randint(first, max(first, last))
        return whole if guess_kind(name, "") == "identifier" else _readable(whole, low, high)
    span = high - low
    value = rng.uniform(low, high)
    value = round(value, 0 if span >= 50 else 1 if span > 0.5 else 4)
    value = _readable(min(max(value, low), high), low, high)
    return int(value) if value == int(value) else value


def _readable(value: int | float, low: float, high: float) -> int | float:
    """People say 350 rather than 347 where the range is wide."""
    for step in (10_000, 1000, 100, 50, 10, 5):
        rounded = round(value / step) * step
        if high - low >= 20 * step and low <= rounded <= high and step <= abs(value) / 4:
            return rounded
    return value


def _bounds(schema: Mapping[str, Any], kind: str, name: str) -> tuple[float, float]:
    """Closed range: that of the schema, completed by what the property's name suggests."""
    tiny = 1 if kind == "integer" else 1e-3
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(above := schema.get("exclusiveMinimum"), int | float) and not isinstance(above, bool):
        low = max(low, above + tiny) if low is not None else above + tiny
    if isinstance(below := schema.get("exclusiveMaximum"), int | float) and not isinstance(below, bool):
        high = min(high, below - tiny) if high is not None else below - tiny
    guess_low, guess_high = guess_range(name, schema)
    if low is None:
        low = guess_low if high is None or guess_low <= high else high - (guess_high - guess_low)
    if high is None:
        high = guess_high if low <= guess_high else low + (guess_high - guess_low)
    return low, high


def draw_text(schema: Mapping[str, Any], rng: Random, language: str, name: str) -> str:
    """A text of the schema's kind, else of its format, else like its example, else of the kind that is guessed.

    Raises:
        ValueError: nothing matches its pattern.
    """
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    pattern = schema.get("pattern")

    def fits(text: str) -> bool:
        return shortest <= len(text) <= longest and (pattern is None or re.search(pattern, text) is not None)

    for source in _sources(schema, rng, language, name):
        for _ in range(_NUM_TRIES):
            if fits(text := source()):
                return text
    if pattern is not None:
        return draw_match(pattern, rng, fits, shortest)
    text = _of_kind("search_term", rng, language)
    while len(text) < shortest:
        text += " " + _of_kind("search_term", rng, language)
    return text if longest == math.inf else text[: int(longest)].ljust(shortest, "x")


def _sources(schema: Mapping[str, Any], rng: Random, language: str, name: str) -> Iterator[Callable[[], str]]:
    """Ways to draw a text, the best first."""
    if (form := schema.get("format")) in _FORMATS:
        yield lambda: _FORMATS[form](rng)
    if kind := schema.get(KIND):
        yield lambda: _of_kind(kind, rng, language)
        return
    example, description = example_of(schema, name), str(schema.get("description", ""))
    if choices := guess_choices(description):
        yield lambda: rng.choice(choices)
    if layout := guess_format(name, schema):
        yield lambda: _FORMATS[layout](rng)
    guessed = guess_kind(name, description, example or "")
    if guessed == "identifier" and example:
        yield lambda: _like(example, rng)
    if example and (not guessed or guessed in WEAK):
        yield lambda: example
    if guessed:
        yield lambda: _of_kind(guessed, rng, language)
    if example:
        yield lambda: example


def _like(example: str, rng: Random) -> str:
    """An identifier of the same shape: other digits, other letters where they are mixed with digits."""
    mixed = any(map(str.isdigit, example))
    first = next((place for place, character in enumerate(example) if character.isdigit()), 0)
    drawn = []
    for place, character in enumerate(example):
        if character.isdigit():
            drawn.append(rng.choice("123456789" if place == first else "0123456789"))
        elif mixed and place > first and "a" <= character.lower() <= "z":
            letters = "abcdef" if character.lower() <= "f" else "ghijklmnopqrstuvwxyz"
            letter = rng.choice(letters)
            drawn.append(letter if character.islower() else letter.upper())
        else:
            drawn.append(character)
    return "".join(drawn)


def _of_kind(kind: str, rng: Random, language: str) -> str:
    if kind in vocabulary(language):
        return draw(kind, rng, language)
    if kind in _FORMATS:
        return _FORMATS[kind](rng)
    return f"{prefix_of(kind)}-{rng.randrange(10_000, 100_000)}"


@cache
def prefix_of(kind: str) -> str:
    """Letters that ids of a kind begin with: ``HTL`` for ``hotel_id``, ``HTB`` for ``hotel_booking_id``."""
    words = [word for word in kind.removesuffix("_id").upper().split("_") if word] or ["ID"]
    skeletons = [word[0] + re.sub(r"[AEIOU]|(.)(?=\1)", "", word[1:]) for word in words]
    if len(words) == 1:
        return (skeletons[0] + words[0][1:])[:3]
    return (skeletons[0][:2] + "".join(skeleton[0] for skeleton in skeletons[1:]))[:4]


def _date(rng: Random) -> date:
    return date(YEAR, 1, 1) + timedelta(days=rng.randrange(365))


def _time(rng: Random) -> str:
    return f"{rng.randrange(7, 22):02d}:{rng.choice((0, 0, 15, 30, 30, 45)):02d}"


_FORMATS: dict[str, Any] = {
    **{form: (lambda rng, layout=layout: _date(rng).strftime(layout)) for form, layout in _DATES.items()},
    "time": _time,
    "date-time": lambda rng: f"{_date(rng).isoformat()}T{_time(rng)}:00Z",
    "email": lambda rng: draw("email", rng, "en"),
    "idn-email": lambda rng: draw("email", rng, "en"),
    "uri": lambda rng: draw("url", rng, "en"),
    "url": lambda rng: draw("url", rng, "en"),
    "hostname": lambda rng: draw("web_domain", rng, "en"),
    "ipv4": lambda rng: f"203.0.113.{rng.randrange(1, 255)}",
    "ipv6": lambda rng: f"2001:db8::{rng.randrange(1, 65536):x}",
    "uuid": lambda rng: str(UUID(int=rng.getrandbits(128), version=4)),
    "number-text": lambda rng: str(rng.randrange(1, 100)),
    "identifier": lambda rng: str(rng.randrange(1000, 100_000)),
    "latitude": lambda rng: f"{rng.uniform(-55, 65):.4f}",
    "longitude": lambda rng: f"{rng.uniform(-170, 170):.4f}",
    "page": lambda rng: str(rng.randrange(1, 6)),
    "year-text": lambda rng: str(rng.randrange(2000, YEAR + 1)),
    "hash": lambda rng: f"{rng.getrandbits(64):016x}",
}
