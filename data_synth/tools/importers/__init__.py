"""The formats that tools come in: a registry, and how a file's format is found out. One module a format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from data_synth.tools.importers import curated, functions, mcp, openapi, python_source, toolbench
from data_synth.tools.importers.draft import Found, Item

UNKNOWN_LICENCE = "NOASSERTION"
"""SPDX's word where a source doesn't tell."""


@dataclass(frozen=True)
class Format:
    """How items of one format are known and read, and the licence they are under where they don't tell."""

    recognises: Callable[[Item], bool]
    read: Callable[[Item], Found]
    licence: str


FORMATS = {
    "python": Format(python_source.recognises, python_source.read, UNKNOWN_LICENCE),
    "openapi": Format(openapi.recognises, openapi.read, UNKNOWN_LICENCE),
    "toolbench": Format(toolbench.recognises, toolbench.read, toolbench.LICENCE),
    "curated": Format(curated.recognises, curated.read, UNKNOWN_LICENCE),
    "mcp": Format(mcp.recognises, mcp.read, UNKNOWN_LICENCE),
    "acebench": Format(functions.recognises_acebench, functions.read, functions.ACEBENCH_LICENCE),
    "bfcl": Format(functions.recognises_bfcl, functions.read, functions.BFCL_LICENCE),
}
"""Asked in this order, of which the later ones are the less specific."""


def format_of(item: Item) -> str | None:
    """The format of a file by its first item; None where none knows it."""
    return next((name for name, entry in FORMATS.items() if entry.recognises(item)), None)
