"""Values of a JSON schema that read well in a sentence: an entity of the property's kind, else a fitting guess."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

from data_synth.simulator.conforms import canonical, conforms
from data_synth.simulator.scalars import YEAR, draw_number, draw_text, prefix_of
from data_synth.simulator.vocabulary import kind_values
from data_synth.tools.tool import KIND, Tool

__all__ = ["YEAR", "kind_values", "prefix_of", "sample_arguments", "sample_value", "spoken"]

_NUM_TRIES = 20


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
            return draw_number(schema, kind, rng, name)
    return draw_text(schema, rng, language, name)


def sample_arguments(tool: Tool, names: Iterable[str], rng: Random, language: str = "en") -> dict[str, Any]:
    """Arguments of ``tool`` that make sense together: no two texts of one kind are equal, dates follow each other
    as the tool's parameters do."""
    names = list(names)
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
    dates = [n for n, schema in tool.properties.items() if n in arguments and schema.get("format") == "date"]
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
