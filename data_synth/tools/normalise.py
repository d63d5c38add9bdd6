"""A draft as its source tells it to a tool in OpenAI's function schema with an output schema (section 3.1)."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data_synth.tools.importers.draft import Draft, UnusableError
from data_synth.tools.importers.references import dereferenced
from data_synth.tools.names import legal_name, result_name
from data_synth.tools.schemas import normalise
from data_synth.tools.tool import Tool
from data_synth.tools.words import words_of

UNKNOWN_OUTPUT = {"type": "object", "properties": {"result": {"type": "string"}}, "required": ["result"]}
"""Where the source doesn't tell what a call returns."""

_MAX_NAMED = 8
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")


@dataclass(frozen=True)
class Limits:
    """``max_chars`` of a tool as models see it, ``max_parameters``, ``max_output_fields``; whether the description
    names the output's fields, since OpenAI's schema has no other place for them."""

    max_chars: int
    max_parameters: int
    max_output_fields: int
    describe_outputs: bool


def to_tool(draft: Draft, limits: Limits, source: str, licence: str) -> Tool:
    """The tool of a draft; its name is legal but not yet unique.

    Raises:
        UnusableError: reason ``no_name``, ``no_description``, ``bad_schema``, ``bad_reference`` or ``too_long``.
    """
    name = legal_name(draft.name) if isinstance(draft.name, str) else ""
    if not name:
        raise UnusableError("no_name", "no letter or digit in its name")
    description = clean_text(draft.description) if isinstance(draft.description, str) else ""
    if not any(character.isalpha() for character in description):
        raise UnusableError("no_description", "nothing says what it does")
    output = _output(draft.output, name, limits.max_output_fields)
    if limits.describe_outputs and output is not None:
        description = _with_outputs(description, output)
    tool = Tool(
        name=name,
        description=description,
        parameters=_parameters(draft.parameters, limits.max_parameters),
        output=output or UNKNOWN_OUTPUT,
        domain=draft.domain,
        source=source,
        licence=licence,
    )
    size = len(json.dumps(tool.to_openai(), ensure_ascii=False))
    if size > limits.max_chars:
        raise UnusableError("too_long", f"{size} characters as a model sees it, more than {limits.max_chars}")
    return tool


def clean_text(text: str) -> str:
    """One line without markup, control characters and runs of white space."""
    plain = html.unescape(_TAG.sub(" ", text))
    visible = (" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn") else c for c in plain)
    return " ".join("".join(visible).split())


def signature(tool: Tool) -> tuple[Any, ...]:
    """What two tools have in common that are the same one: words of name and description, parameters and types."""
    described = tool.description.split(" Returns: ")[0]
    parameters = tuple(
        sorted(
            (name, str(schema.get("type")), name in tool.required) for name, schema in tool.properties.items()
        )
    )
    return "".join(words_of(tool.name)), " ".join(words_of(described)), parameters


def has_known_output(tool: Tool) -> bool:
    """Whether its source told what a call returns."""
    return tool.output != UNKNOWN_OUTPUT


def _parameters(schema: Any, max_parameters: int) -> dict[str, Any]:
    if schema is None or schema == {} or (isinstance(schema, Mapping) and _is_empty(schema)):
        return {"type": "object", "properties": {}, "required": []}
    normal = normalise(_plain(schema))
    if normal["type"] != "object":
        raise UnusableError("bad_schema", f"parameters of type {normal['type']}; an object is expected")
    if len(normal["properties"]) > max_parameters:
        raise UnusableError("too_long", f"{len(normal['properties'])} parameters, more than {max_parameters}")
    return normal


def _is_empty(schema: Mapping[str, Any]) -> bool:
    return set(schema) <= {"type"} and str(schema.get("type")).lower() in ("none", "null")


def _plain(schema: Any) -> Any:
    """Without references; most schemas have none."""
    return dereferenced(schema, schema) if '"$ref"' in json.dumps(schema, default=str) else schema


def _output(schema: Any, name: str, max_fields: int) -> dict[str, Any] | None:
    """An object of at most ``max_fields`` fields; None where the source doesn't tell, or nothing that can be read."""
    if not schema:
        return None
    try:
        normal = normalise(_plain(schema), cut=True)
    except UnusableError:
        return None
    if normal["type"] != "object":
        field = result_name(name)
        normal = {"type": "object", "properties": {field: normal}, "required": [field]}
    return _pruned(normal, max_fields) if normal.get("properties") else None


def _pruned(schema: dict[str, Any], max_fields: int) -> dict[str, Any]:
    """The fields nearest to the root; objects further down stay without any."""
    left, waiting = max_fields, deque([schema])
    while waiting:
        node = waiting.popleft()
        if node["type"] == "array" and "items" in node:
            waiting.append(node["items"])
        elif node.get("properties"):
            node["properties"] = dict(list(node["properties"].items())[:left])
            node["required"] = [name for name in node["required"] if name in node["properties"]]
            left -= len(node["properties"])
            waiting.extend(node["properties"].values())
    return schema


def _with_outputs(description: str, output: Mapping[str, Any]) -> str:
    """With the names of the output's first fields, unless it speaks of what is returned already."""
    if re.search(r"\breturns?\b|返回", description, re.IGNORECASE):
        return description
    names = [
        f"{name} (each with {', '.join(list(inner)[:_MAX_NAMED])})" if inner else name
        for name, inner in ((name, _inner(field)) for name, field in output["properties"].items())
    ]
    end = "" if description.endswith((".", "!", "?", "。")) else "."
    return f"{description}{end} Returns: {', '.join(names[:_MAX_NAMED])}."


def _inner(field: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of a list's entries."""
    return field.get("items", {}).get("properties", {}) if field.get("type") == "array" else {}
