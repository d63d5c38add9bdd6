"""Function lists: BFCL's and ACEBench's rows with their ``function``, BFCL's function documents, OpenAI's tools.

BFCL's type names (``dict``, ``float``, ``tuple``, Java's and JavaScript's) are read as everywhere. ACEBench writes
``arguments`` for some parameters and ``results`` for outputs; a dotted name's first part is the domain.
"""

from __future__ import annotations

import re
from typing import Any

from data_synth.tools.importers.draft import Draft, Found, Item, Rejection

BFCL_LICENCE, ACEBENCH_LICENCE = "Apache-2.0", "MIT"
_PARAMETERS = ("parameters", "arguments", "_arguments")
_OUTPUTS = ("output", "response", "results", "returns", "outputSchema")


def recognises_bfcl(item: Item) -> bool:
    """Whether an item is a row of BFCL, a function document or a tool of OpenAI's."""
    value = item.value
    if not isinstance(value, dict):
        return False
    if isinstance(value.get("function"), dict):
        return True
    if "function" in value:
        return isinstance(value.get("question"), list)
    return isinstance(value.get("name"), str) and any(key in value for key in _PARAMETERS)


def recognises_acebench(item: Item) -> bool:
    """Whether an item is a row of ACEBench."""
    value = item.value
    if not isinstance(value, dict) or not isinstance(value.get("function"), list):
        return False
    return isinstance(value.get("question"), str)


def read(item: Item) -> Found:
    """The functions of a row, or the one function."""
    row = item.value
    listed = row.get("function", row) if isinstance(row, dict) else row
    functions = listed if isinstance(listed, list) else [listed]
    for number, function in enumerate(functions, start=1):
        place = f"{item.place} function {number}" if len(functions) > 1 else item.place
        if isinstance(function, dict) and isinstance(function.get("function"), dict):
            function = function["function"]
        if not isinstance(function, dict):
            yield Rejection("not_a_tool", "a function that is no object", "", place)
            continue
        yield Draft(
            name=function.get("name"),
            description=function.get("description"),
            parameters=_first(function, _PARAMETERS),
            output=_first(function, _OUTPUTS),
            domain=_domain(function, row),
            place=place,
        )


def _first(function: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((function[key] for key in keys if key in function), None)


def _domain(function: dict[str, Any], row: dict[str, Any]) -> str:
    classes = row.get("involved_classes")
    if isinstance(classes, list) and len(classes) == 1:
        return str(classes[0]).lower()
    tags = function.get("tags")
    tag = tags[0] if isinstance(tags, list) and tags else tags
    if isinstance(tag, str):
        return tag.split("-")[0].strip().lower()
    prefix, dot, _ = str(function.get("name") or "").partition(".")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", prefix).lower() if dot else ""
