"""Results of ``tools/list`` of the Model Context Protocol, with or without their JSON-RPC envelope."""

from __future__ import annotations

from typing import Any

from data_synth.tools.importers.draft import Draft, Found, Item, Rejection


def recognises(item: Item) -> bool:
    """Whether an item of a file looks like this format."""
    return _tools(item.value) is not None or (isinstance(item.value, dict) and "inputSchema" in item.value)


def read(item: Item) -> Found:
    """The tools of a result, or the one tool."""
    listed = _tools(item.value)
    for number, tool in enumerate([item.value] if listed is None else listed, start=1):
        place = item.place if listed is None else f"{item.place} tool {number}"
        if not isinstance(tool, dict) or "inputSchema" not in tool:
            yield Rejection("not_a_tool", "no inputSchema", _name(tool), place)
            continue
        yield Draft(
            name=tool.get("name"),
            description=tool.get("description") or tool.get("title"),
            parameters=tool["inputSchema"],
            output=tool.get("outputSchema"),
            place=place,
        )


def _tools(value: Any) -> list[Any] | None:
    if isinstance(value, dict) and isinstance(value.get("result"), dict):
        value = value["result"]
    tools = value.get("tools") if isinstance(value, dict) else None
    return tools if isinstance(tools, list) else None


def _name(tool: Any) -> str:
    return str(tool.get("name") or "") if isinstance(tool, dict) else ""
