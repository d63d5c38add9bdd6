"""Collections of ours: lines of an earlier ``tools.jsonl``, so that collections can be merged."""

from __future__ import annotations

from data_synth.tools.collection import fault
from data_synth.tools.importers.draft import Draft, Found, Item, Rejection
from data_synth.tools.tool import Tool


def recognises(item: Item) -> bool:
    """Whether an item is a line of ``tools.jsonl``."""
    return isinstance(item.value, dict) and set(item.value) == set(Tool.__dataclass_fields__)


def read(item: Item) -> Found:
    """The tool of a line."""
    wrong = fault(item.value)
    if wrong:
        yield Rejection("not_a_tool", f"it {wrong}", "", item.place)
    else:
        yield of_tool(Tool.from_record(item.value), item.place)


def of_tool(tool: Tool, place: str) -> Draft:
    """A tool that needs no normalising."""
    return Draft(tool.name, tool.description, tool.parameters, tool.output, place, ready=tool)
