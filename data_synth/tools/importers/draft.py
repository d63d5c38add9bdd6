"""What importers hand over: a tool as its source tells it, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_synth.tools.tool import Tool


@dataclass(frozen=True, slots=True)
class Draft:
    """A tool in its source's own words; curation makes a ``Tool`` of it.

    Attributes:
        name: as it was; any text.
        description: as it was; may be empty.
        parameters: JSON-schema-like, with the source's type names; None where it takes none.
        output: likewise, of any type; None where the source doesn't tell.
        domain: what it is about, where the source tells.
        place: file and place in it, for ``rejected.jsonl``.
        licence: its own licence, where the source tells.
        ready: the tool itself, where the source is a collection of ours.
    """

    name: Any
    description: Any
    parameters: Any
    output: Any
    place: str
    domain: str = ""
    licence: str = ""
    ready: Tool | None = None


class UnusableError(ValueError):
    """No tool can be made of what the source holds: a reason of one word, and the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Rejection:
    """A line of ``rejected.jsonl``."""

    reason: str
    detail: str
    name: str
    place: str


type Found = Iterator[Draft | Rejection]


@dataclass(frozen=True, slots=True)
class Item:
    """A document, an entry of a list or a line of a file: what importers read one after the other."""

    value: Any
    path: Path
    place: str
