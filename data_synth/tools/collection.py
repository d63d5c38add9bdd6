"""The tools of a run: the built-in catalogue or a ``tools.jsonl``, and which split each belongs to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_synth.tools.settings import ToolsSettings
from data_synth.tools.tool import Tool
from recipes.command import InputError

if TYPE_CHECKING:
    from data_synth.tasks.base import Split

LEGAL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def load_tools(settings: ToolsSettings) -> dict[str, Tool]:
    """The tools that the run makes plans of, by name, in their file's order.

    Raises:
        InputError: ``tools.path`` isn't a readable ``tools.jsonl``, or a key of ``tools.graph`` is impossible.
    """
    settings.graph.check("tools.graph.")
    if settings.path is None:
        from data_synth.tools.catalogue import load_catalogue

        return load_catalogue()
    return read_tools(settings.path)


def read_tools(path: Path, key: str = "tools.path") -> dict[str, Tool]:
    """The tools of a ``tools.jsonl``; ``key`` is named in errors.

    Raises:
        InputError: no such file, a line that isn't a tool, a name twice, or no tool at all.
    """
    tools: dict[str, Tool] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    tool = _parse(line, f"{key}={path}: line {number}")
                    if tool.name in tools:
                        raise InputError(
                            f"{key}={path}: line {number} repeats the tool {tool.name}; rename one"
                        )
                    tools[tool.name] = tool
    except OSError as error:
        raise InputError(
            f"{key}={path}: {error.strerror}; give the tools.jsonl that python -m data_synth.tools wrote"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{key}={path}: not UTF-8 text; give a tools.jsonl") from None
    if not tools:
        raise InputError(f"{key}={path}: holds no tools; run python -m data_synth.tools again")
    return tools


def tool_split(name: str, test_share: float, validation_share: float = 0.0) -> Split:
    """The split that a tool belongs to, by SHA-256 of its name: no tool is in rows of two splits."""
    from data_synth.tasks.base import (
        split_of,  # the package of the tasks imports them all, and they import this
    )

    return split_of(hashlib.sha256(name.encode()).hexdigest(), test_share, validation_share)


def tools_of_split(
    tools: Mapping[str, Tool], split: str, test_share: float, validation_share: float
) -> dict[str, Tool]:
    """The tools that rows of ``split`` may use; ``all`` may use every one."""
    return {
        name: tool
        for name, tool in tools.items()
        if split == "all" or tool_split(name, test_share, validation_share) == split
    }


def _parse(line: str, place: str) -> Tool:
    fix = "run it through python -m data_synth.tools"
    try:
        record = json.loads(line)
    except ValueError:
        raise InputError(f"{place} isn't JSON; {fix}") from None
    wrong = fault(record)
    if wrong:
        raise InputError(f"{place} {wrong}; {fix}")
    return Tool.from_record(record)


def fault(record: Any) -> str | None:
    """What keeps a record from being a tool; None where nothing does."""
    if not isinstance(record, dict):
        return "isn't an object"
    for key in ("name", "description", "parameters", "output"):
        if key not in record:
            return f"lacks {key}"
    for key, value in record.items():
        if key not in Tool.__dataclass_fields__:
            return f"has the unknown key {key}"
        if not isinstance(value, dict if key in ("parameters", "output", "hints") else str):
            return f"has a {key} of the wrong type"
    if not LEGAL_NAME.fullmatch(record["name"]):
        return f"has the name {record['name']!r}, which no model's tool may have"
    for key in ("parameters", "output"):
        if record[key].get("type") != "object":
            return f"has {key} that aren't a schema of type object"
    return None
