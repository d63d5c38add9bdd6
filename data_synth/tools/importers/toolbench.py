"""ToolBench and StableToolBench: queries with their ``api_list``, tools with theirs, or bare APIs.

A tool is called ``<api>_for_<tool>``, as ToolBench calls it. Outputs are from StableToolBench's response templates.
"""

from __future__ import annotations

import re
from typing import Any

from data_synth.tools.importers.draft import Draft, Found, Item, Rejection
from data_synth.tools.importers.templates import schema_of_template

LICENCE = "Apache-2.0"


def recognises(item: Item) -> bool:
    """Whether an item of a file looks like this format."""
    value = item.value
    return isinstance(value, dict) and (
        "api_list" in value or {"api_name", "required_parameters"} <= set(value)
    )


def read(item: Item) -> Found:
    """The APIs of a query or a tool, or the one API."""
    row = item.value
    if not isinstance(row, dict):
        yield Rejection("not_a_tool", "not an object", "", item.place)
        return
    apis = row.get("api_list", [row])
    for number, api in enumerate(apis if isinstance(apis, list) else [], start=1):
        place = f"{item.place} api {number}" if "api_list" in row else item.place
        if isinstance(api, dict):
            yield _draft(api, row, item, place)
        else:
            yield Rejection("not_a_tool", "an api that is no object", "", place)


def _draft(api: dict[str, Any], row: dict[str, Any], item: Item, place: str) -> Draft:
    tool = api.get("tool_name") or row.get("tool_name") or row.get("title") or ""
    name = api.get("api_name") or api.get("name") or ""
    category = api.get("category_name") or (item.path.parent.name if "api_name" not in api else "")
    return Draft(
        name=_name(str(name), str(tool)),
        description=api.get("api_description") or api.get("description"),
        parameters=_parameters(api),
        output=schema_of_template(api.get("template_response")),
        domain=re.sub(r"\W+", "_", str(category)).strip("_").lower(),
        place=place,
    )


def _name(api: str, tool: str) -> str:
    """Of both in ToolBench's way: lower case, and what isn't a letter or digit an underscore."""
    parts = [re.sub(r"[^A-Za-z0-9]+", "_", _snake(part)).strip("_").lower() for part in (api, tool)]
    return "_for_".join(part for part in parts if part) if parts[0] else ""


def _snake(text: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)


def _parameters(api: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required = []
    for key in ("required_parameters", "optional_parameters"):
        for parameter in api.get(key) or []:
            name = str(parameter.get("name", "")).strip()
            schema = _type(str(parameter.get("type", "string")))
            schema["description"] = parameter.get("description") or ""
            if parameter.get("default") not in (None, ""):
                schema["default"] = parameter["default"]
            properties[name] = schema
            if key == "required_parameters":
                required.append(name)
    return {"type": "object", "properties": properties, "required": required}


def _type(name: str) -> dict[str, Any]:
    """Of RapidAPI's type names; ``ENUM`` and ``BINARY`` come without choices, so they are text."""
    if name.upper().startswith("DATE"):
        return {"type": "string", "format": "date"}
    if name.upper().startswith("TIME"):
        return {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}
    known = {"NUMBER": "number", "BOOLEAN": "boolean", "ARRAY": "array", "OBJECT": "object"}
    return {"type": known.get(name.upper(), "string")}
