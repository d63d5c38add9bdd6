"""Values of a JSON schema that read well in a sentence: an entity of the property's kind, else a fitting guess."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from random import Random
from typing import Any
from uuid import UUID

from data_synth.simulator.conforms import canonical, conforms
from data_synth.simulator.guess import example_of, guess_format, guess_kind, guess_range
from data_synth.simulator.patterns import draw_match
from data_synth.simulator.vocabulary import draw, kind_values, vocabulary
from data_synth.tools.tool import KIND, Tool

__all__ = ["YEAR", "kind_values", "sample_arguments", "sample_value", "spoken"]

YEAR = 2026
"""All dates are of this year, so that the same seed gives the same bytes at any time."""

_NUM_TRIES = 20
_DATES = {"date": "%Y-%m-%d", "date-slash": "%m/%d/%Y", "date-dots": "%d.%m.%Y", "date-compact": "%Y%m%d"}


def sample_value(schema: Mapping[str, Any], rng: Random, language: str = "en", name: str = "") -> Any:
    """A value that conforms to a property's schema.

    Args:
        schema: JSON schema, without ``$ref``. Its ``x-kind`` says what the value is; without one, the name,
            the description, the format, the example and the bounds are heard.
        language: ``en`` or ``zh``, of names and texts.
        name: the property's name, for schemas without ``x-kind``.

    Raises:
        ValueError: no value was found, such as for a pattern with look-around.
    """
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice([value for value in schema["enum"] if value is not None] or schema["enum"])
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _combined(schema, key, rng, language, name)
    match _type(schema):
        case "object":
            return _object(schema, rng, language)
        case "array":
            return _array(schema, rng, language, name)
        case "boolean":
            return schema.get(KIND) == "flag" or rng.random() < 0.7
        case "null":
            return None
        case "integer" | "number" as kind:
            return _number(schema, kind, rng, name)
    return _string(schema, rng, language, name)


def sample_arguments(tool: Tool, names: Iterable[str], rng: Random, language: str = "en") -> dict[str, Any]:
    """Arguments of ``tool`` that make sense together: no two texts of one kind are equal, dates are in order."""
    arguments: dict[str, Any] = {}
    for name in names:
        schema = tool.properties[name]
        taken = [
            arguments[other] for other in arguments if tool.properties[other].get(KIND) == schema.get(KIND)
        ]
        value = sample_value(schema, rng, language, name)
        for _ in range(_NUM_TRIES):
            if not isinstance(value, str) or value not in taken or "enum" in schema:
                break
            value = sample_value(schema, rng, language, name)
        arguments[name] = value
    dates = [
        n for n in arguments if tool.properties[n].get("format") == "date" and tool.properties[n].get(KIND)
    ]
    arguments |= zip(dates, sorted(arguments[name] for name in dates), strict=True)
    return {name: arguments[name] for name in names}


def spoken(value: Any, language: str = "en", words: Mapping[str, str] | None = None, say: str = "") -> str:
    """How a user says a value: lists with commas, objects by their ``x-say`` pattern or their parts.

    Args:
        words: what values of an enumeration are called, ``hints["words"][parameter][language]``.
        say: ``x-say`` of the schema, or of its items.
    """
    if isinstance(value, list):
        parts = [spoken(part, language, words, say) for part in value]
        last = "和" if language == "zh" else " and "
        return (("、" if language == "zh" else ", ").join(parts[:-1]) + last if parts[1:] else "") + parts[-1]
    if isinstance(value, Mapping):
        if say:
            return say.format_map({key: spoken(part, language) for key, part in value.items()})
        return ("，" if language == "zh" else ", ").join(spoken(part, language) for part in value.values())
    if isinstance(value, bool):
        return {"en": ("no", "yes"), "zh": ("否", "是")}[language][value]
    return (words or {}).get(value, str(value)) if isinstance(value, str) else str(value)


def _type(schema: Mapping[str, Any]) -> str:
    named = schema.get("type")
    if isinstance(named, list):
        return next((str(one) for one in named if one != "null"), "null")
    if named is None:
        return "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(named)


def _combined(schema: Mapping[str, Any], key: str, rng: Random, language: str, name: str) -> Any:
    rest = {other: value for other, value in schema.items() if other != key}
    if key == "allOf":
        merged: dict[str, Any] = dict(rest)
        for part in schema[key]:
            inner = {"properties": merged.get("properties", {}) | part.get("properties", {})}
            merged |= part | (inner if inner["properties"] else {})
        return sample_value(merged, rng, language, name)
    options = [part for part in schema[key] if part.get("type") != "null"] or schema[key]
    for _ in range(_NUM_TRIES):
        value = sample_value(rest | rng.choice(options), rng, language, name)
        if conforms(value, schema):
            return value
    raise ValueError(f"{name or 'value'}: no value fits {key}; give the schema an enum")


def _object(schema: Mapping[str, Any], rng: Random, language: str) -> dict[str, Any]:
    properties = schema.get("properties", {})
    names = [n for n in properties if n in schema.get("required", properties)]
    names += [n for n in schema.get("required", ()) if n not in properties]
    names += [n for n in properties if n not in names][: max(0, schema.get("minProperties", 0) - len(names))]
    return {n: sample_value(properties.get(n, {"type": "string"}), rng, language, n) for n in names}


def _array(schema: Mapping[str, Any], rng: Random, language: str, name: str) -> list[Any]:
    low = schema.get("minItems", 0)
    size = rng.randint(
        max(low, min(1, schema.get("maxItems", 1))), min(schema.get("maxItems", low + 3), low + 3)
    )
    items = schema.get("items", {})
    prefix = schema.get("prefixItems", ())
    chosen: dict[str, Any] = {}
    values: list[Any] = []
    for position in range(size):
        part = prefix[position] if position < len(prefix) else items
        part = part if isinstance(part, Mapping) else {}
        for _ in range(_NUM_TRIES):
            value = sample_value(part, rng, language, name.removesuffix("s"))
            if canonical(value) not in chosen:
                break
        if canonical(value) in chosen and (schema.get("uniqueItems") or len(values) >= low):
            break
        chosen[canonical(value)] = value
        values.append(value)
    if len(values) < low:
        raise ValueError(f"{name or 'value'}: fewer than {low} different items; lower minItems")
    return values


def _number(schema: Mapping[str, Any], kind: str, rng: Random, name: str) -> int | float:
    low, high = _bounds(schema, kind, name)
    if step := schema.get("multipleOf"):
        first, last = math.ceil(low / step), math.floor(high / step)
        value = rng.randint(first, max(first, last)) * step
        return int(value) if kind == "integer" else value
    if kind == "integer":
        return _readable(rng.randint(math.ceil(low), max(math.ceil(low), math.floor(high))), low, high)
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


def _string(schema: Mapping[str, Any], rng: Random, language: str, name: str) -> str:
    """The first that conforms: of the kind, of the format, an example, of the guessed kind, a match of the pattern."""
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    pattern = schema.get("pattern")

    def fits(text: str) -> bool:
        return shortest <= len(text) <= longest and (pattern is None or re.search(pattern, text) is not None)

    kind = schema.get(KIND)
    form = schema.get("format") or (guess_format(name, schema) if kind is None else None)
    guessed = "" if kind or form else guess_kind(name, schema.get("description", ""))
    for _ in range(_NUM_TRIES):
        if form in _FORMATS and fits(text := _FORMATS[form](rng)):
            return text
        if kind and fits(text := _of_kind(kind, rng, language)):
            return text
        if guessed and fits(text := _of_kind(guessed, rng, language)):
            return text
    if (example := example_of(schema)) and fits(example):
        return example
    if pattern is not None:
        return draw_match(pattern, rng, fits)
    text = _of_kind("search_term", rng, language)
    while len(text) < shortest:
        text += " " + _of_kind("search_term", rng, language)
    return text if longest == math.inf else text[: int(longest)].ljust(shortest, "x")


def _of_kind(kind: str, rng: Random, language: str) -> str:
    if kind in vocabulary(language):
        return draw(kind, rng, language)
    if kind in _FORMATS:
        return _FORMATS[kind](rng)
    return f"{prefix_of(kind)}-{rng.randrange(10_000, 100_000)}"


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
