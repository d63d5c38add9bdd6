"""``$ref`` inside a document, written out; what refers to itself ends in a plain object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from data_synth.tools.importers.draft import UnusableError

MAX_REFERENCES = 5
"""References followed inside one another; beyond, an object of unknown fields stands."""
MAX_NODES = 5_000
"""Of a written-out schema; beyond, references stay unknown objects, so that none grows without bound."""


def dereferenced(node: Any, document: Any) -> Any:
    """``node`` with every ``$ref`` into ``document`` replaced by what it names.

    Raises:
        UnusableError: ``bad_reference``: it names another document, or nothing.
    """
    return _Resolver(document).resolve(node, ())


class _Resolver:
    def __init__(self, document: Any) -> None:
        self._document, self._nodes = document, 0

    def resolve(self, node: Any, trail: tuple[str, ...]) -> Any:
        self._nodes += 1
        if isinstance(node, list):
            return [self.resolve(entry, trail) for entry in node]
        if not isinstance(node, Mapping):
            return node
        reference = node.get("$ref")
        if isinstance(reference, str):
            return self._follow(reference, node, trail)
        return {key: self.resolve(value, trail) for key, value in node.items() if key not in ("$defs",)}

    def _follow(self, reference: str, node: Mapping[str, Any], trail: tuple[str, ...]) -> Any:
        beside = {key: value for key, value in node.items() if key not in ("$ref", "$defs")}
        if reference in trail or len(trail) == MAX_REFERENCES or self._nodes > MAX_NODES:
            return {"type": "object", **beside}
        named = self.resolve(lookup(reference, self._document), (*trail, reference))
        return {**named, **self.resolve(beside, trail)} if isinstance(named, dict) else named


def lookup(reference: str, document: Any) -> Any:
    """What a JSON pointer such as ``#/components/schemas/Order`` names.

    Raises:
        UnusableError: ``bad_reference``.
    """
    if not reference.startswith("#"):
        raise UnusableError("bad_reference", f"{reference} is in another document")
    found = document
    for part in reference[1:].split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            raise UnusableError("bad_reference", f"{reference} names nothing")
    return found
