"""How values are said: dates, times, lists and objects, English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

from data_synth.simulator.values import spoken

MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905
DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}):(\d{2})(?::\d{2})?(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})?)?")
TIME = re.compile(r"(\d{2}):(\d{2})")


@dataclass(frozen=True, slots=True)
class Style:
    """How one writer says dates and times.

    Attributes:
        date: 0 as in the data, 1 day first, 2 month first; in Chinese 0 or with characters.
        clock: 0 24 hours, 1 am and pm; Chinese always 24 hours.
    """

    language: str
    date: int
    clock: int

    @classmethod
    def draw(cls, language: str, rng: Random) -> Style:
        return cls(language, rng.choice((0, 1, 1, 2)), rng.choice((0, 0, 1)))


def say_value(value: Any, schema: Mapping[str, Any], words: Mapping[str, str], style: Style) -> str:
    """A value as a user says it; ``words`` name the values of an enumeration."""
    if isinstance(value, str) and value not in words:
        if found := DATE.fullmatch(value):
            return _say_date(found, style)
        if found := TIME.fullmatch(value):
            return _say_time(int(found[1]), int(found[2]), style)
        return value.replace("_", " ") if value in schema.get("enum", ()) else value
    if isinstance(value, list):
        items = schema.get("items", {})
        parts = [say_value(part, items, words, style) for part in value]
        if not any(isinstance(part, Mapping) for part in value):
            return spoken(parts, style.language)
        joint = "；" if style.language == "zh" else "; "
        if not items.get("x-say"):
            return joint.join(say_value(part, items, words, style) for part in value) or _nothing(style)
    say = schema.get("x-say", "") or (schema.get("items") or {}).get("x-say", "")
    if isinstance(value, Mapping) and not say:
        inner = schema.get("properties", {})
        parts = [f"{in_words(str(k))} {say_value(v, inner.get(k, {}), {}, style)}" for k, v in value.items()]
        return ("，" if style.language == "zh" else ", ").join(parts) or _nothing(style)
    return spoken(value, style.language, words, say)


def _nothing(style: Style) -> str:
    return "空" if style.language == "zh" else "nothing"


def _say_date(found: re.Match[str], style: Style) -> str:
    day = date(int(found[1]), int(found[2]), int(found[3]))
    if style.language == "zh":
        text = f"{day.year}年{day.month}月{day.day}日" if style.date else day.isoformat()
        return text if found[4] is None else f"{text}{found[4]}:{found[5]}"
    month = MONTHS[day.month - 1]
    text = (day.isoformat(), f"{day.day} {month} {day.year}", f"{month} {day.day}, {day.year}")[style.date]
    return text if found[4] is None else f"{text} at {_say_time(int(found[4]), int(found[5]), style)}"


def _say_time(hour: int, minute: int, style: Style) -> str:
    if style.clock == 0 or style.language == "zh":
        return f"{hour:02d}:{minute:02d}"
    half, hour = ("am", hour) if hour < 12 else ("pm", hour - 12)
    return f"{hour or 12}:{minute:02d} {half}" if minute else f"{hour or 12} {half}"


def in_words(name: str) -> str:
    """An identifier as words: ``getUserMedia_2`` is "get user media 2"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_.\-]+", " ", name).strip().lower()
