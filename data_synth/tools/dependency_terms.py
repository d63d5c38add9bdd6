"""What tools give and what they ask for, as terms: kind or words, type and bounds of a value.

A collection has far fewer terms than parameters and output fields, so links are found between terms and then spread
over the tools that have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from data_synth.tools.tool import KIND, Tool
from data_synth.tools.words import (
    ABOUT_THE_CALL,
    SETTINGS,
    Words,
    qualified,
    says_nothing,
    subject_of,
    words_of,
)

type Path = tuple[str | int, ...]

_SCALARS = ("string", "integer", "number")
_BOUNDS = ("format", "pattern", "minimum", "maximum", "minLength", "maxLength")
_MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class Term:
    """A value that a tool gives or asks for.

    Attributes:
        kind: ``x-kind`` of its schema, or none.
        words: of the kind, else of the name with what it belongs to; the last one says what the value is.
        type: ``string``, ``integer``, ``number``, or ``array:`` and one of these.
        choices: of an ``enum``, else empty.
        bounds: what its schema says besides: format, pattern, minimum, maximum, minLength, maxLength (None: nothing).
        text: words and description, for embedding; empty without.
    """

    kind: str
    words: Words
    type: str
    choices: tuple[Any, ...]
    bounds: tuple[Any, ...]
    text: str

    @property
    def key(self) -> str:
        """What the value is, whatever its type: terms of one key are counted together."""
        return f"={self.kind}" if self.kind else " ".join(self.words)

    @property
    def label(self) -> str:
        """For a reason that people read."""
        return self.kind or " ".join(self.words)


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter and its term."""

    parameter: str
    term: Term
    is_required: bool


@dataclass(frozen=True, slots=True)
class Leaf:
    """A field of an output, where it stands, and its term."""

    path: Path
    term: Term


def slots(tool: Tool, with_text: bool = False) -> list[Slot]:
    """The parameters that another tool's output or a shared value may fill, in the schema's order."""
    required, subject = set(tool.required), subject_of(tool.name)
    found = []
    for name, schema in tool.properties.items():
        if not schema.get(KIND) and "_".join(words_of(name)) in SETTINGS:
            continue
        term = _term(name, schema, [subject], with_text)
        if term:
            found.append(Slot(name, term, name in required))
    return found


def leaves(tool: Tool, with_text: bool = False) -> list[Leaf]:
    """The fields of the output that say something new: not what the call was given.

    An identifier in a list is new even where the call took one of its kind (products related to a product).
    """
    asked = {slot.term.key for slot in slots(tool)}
    return [
        leaf
        for leaf in _walk(tool.output, (), [subject_of(tool.name)], with_text)
        if leaf.term.key not in asked or (0 in leaf.path and leaf.term.words[-1] == "id")
    ]


def _walk(schema: Mapping[str, Any], path: Path, around: list[Words], with_text: bool) -> Iterator[Leaf]:
    for name, inner in schema.get("properties", {}).items():
        if name.lower() not in ABOUT_THE_CALL:
            yield from _walk_field(name, inner, (*path, name), around, with_text)


def _walk_field(
    name: str, schema: Mapping[str, Any], path: Path, around: list[Words], with_text: bool
) -> Iterator[Leaf]:
    kind = schema.get("type")
    if kind == "object":
        yield from _walk(schema, path, [words_of(name), *around], with_text)
        return
    if kind == "array":
        items = schema.get("items", {})
        if items.get("type") == "object":
            yield from _walk(items, (*path, 0), [words_of(name), *around], with_text)
            return
        element = _term(name, items, around, with_text)
        if element:
            yield Leaf((*path, 0), element)
    term = _term(name, schema, around, with_text)
    if term:
        yield Leaf(path, term)


def _term(name: str, schema: Mapping[str, Any], around: list[Words], with_text: bool) -> Term | None:
    """The term of a scalar or a list of scalars; None for others, and for names that say nothing."""
    kind, value_type, inner = schema.get(KIND, ""), schema.get("type"), schema
    if value_type == "array":
        inner = schema.get("items", {})
        value_type = f"array:{inner.get('type')}"
    if value_type.removeprefix("array:") not in _SCALARS if isinstance(value_type, str) else True:
        return None
    words = words_of(kind) if kind else qualified(name, around)
    if not words or (not kind and says_nothing(words)):
        return None
    text = " ".join(words) + ": " + schema.get("description", "")[:_MAX_TEXT] if with_text else ""
    choices = tuple(choice for choice in inner.get("enum", ()) if not isinstance(choice, list | dict))
    return Term(kind, words, str(value_type), choices, tuple(inner.get(key) for key in _BOUNDS), text)


def fits(output: Term, parameter: Term) -> bool:
    """Whether every value of ``output`` is one that ``parameter`` takes, as far as their schemas tell."""
    if output.type != parameter.type and (output.type, parameter.type) != ("integer", "number"):
        return False
    if parameter.choices:
        return bool(output.choices) and set(output.choices) <= set(parameter.choices)
    if output.kind and output.kind == parameter.kind:
        return True
    return all(
        _is_within(key, given, asked)
        for key, given, asked in zip(_BOUNDS, output.bounds, parameter.bounds, strict=True)
    )


def _is_within(key: str, given: Any, asked: Any) -> bool:
    if asked is None or given == asked:
        return True
    if key == "minLength" and asked == 1:
        return True
    if given is None or key in ("format", "pattern"):
        return False
    return bool(given >= asked if key.startswith("min") else given <= asked)
