"""Tool curation (section 3.1): tools of many formats to one collection, every tool that is left out with its reason.

Files are read item by item; what stays in memory is the collection itself.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_synth.tools.importers import FORMATS, UNKNOWN_LICENCE, curated, format_of
from data_synth.tools.importers.draft import Draft, Item, Rejection, UnusableError
from data_synth.tools.importers.items import SUFFIXES, read_items
from data_synth.tools.names import unique_name
from data_synth.tools.normalise import Limits, has_known_output, signature, to_tool
from data_synth.tools.tool import Tool
from recipes.command import InputError

CATALOGUE = "catalogue"
"""The word that names the built-in tools in ``input=``."""


@dataclass
class Collection:
    """Tools in the order in which they were read, without duplicates."""

    limits: Limits
    licence: str | None
    tools: dict[str, Tool] = field(default_factory=dict)
    num_read: int = 0
    _names: set[str] = field(default_factory=set)
    _by_signature: dict[Any, str] = field(default_factory=dict)

    def add(self, draft: Draft, source: str, licence: str) -> Rejection | None:
        """Take a draft in, or say why not.

        A duplicate is merged into the tool that is there, which learns what a call returns if it didn't know.

        Args:
            draft: as an importer gave it.
            source: of tools whose draft doesn't tell.
            licence: of tools for which neither ``self.licence`` nor the draft tells one.
        """
        self.num_read += 1
        try:
            tool = draft.ready or to_tool(
                draft, self.limits, source, self.licence or draft.licence or licence
            )
        except UnusableError as error:
            return Rejection(error.reason, error.detail, str(draft.name or "")[:200], draft.place)
        key = signature(tool)
        present = self._by_signature.get(key)
        if present is not None:
            if has_known_output(tool) and not has_known_output(self.tools[present]):
                self.tools[present] = dataclasses.replace(tool, name=present)
            return Rejection("duplicate", f"of {present}", tool.name, draft.place)
        name = unique_name(tool.name, self._names)
        self.tools[name] = tool if name == tool.name else dataclasses.replace(tool, name=name)
        self._by_signature[key] = name
        return None


def find_files(inputs: Sequence[str]) -> list[tuple[Path, bool]]:
    """The files that ``input=`` names, and whether it named each itself (else its folder), every one once.

    Raises:
        InputError: nothing is there, or a folder without a file of a known suffix.
    """
    found: dict[Path, bool] = {}
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            inside = [file for file in sorted(path.rglob("*")) if _may_hold_tools(file, path)]
            if not inside:
                raise InputError(
                    f"input={given}: no file of {', '.join(SUFFIXES)} in it; give another folder"
                )
            for file in inside:
                found.setdefault(file, False)
        elif path.is_file():
            found[path] = True
        elif given != CATALOGUE:
            raise InputError(
                f"input={given}: no such file or folder; give files, folders, or the word {CATALOGUE}"
            )
    return list(found.items())


def _may_hold_tools(file: Path, folder: Path) -> bool:
    parts = file.relative_to(folder).parts
    return (
        file.suffix in SUFFIXES and file.is_file() and not any(part.startswith((".", "__")) for part in parts)
    )


@dataclass
class Curation:
    """A run over the inputs.

    Attributes:
        collection: what was taken in.
        format: of all files, or ``auto``.
        skipped: file to why it was left aside as a whole; only files found in a folder are.
        rejected: reason to number of tools.
    """

    collection: Collection
    format: str
    skipped: dict[str, str] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)

    def read(self, inputs: Sequence[str]) -> Iterator[Rejection]:
        """Take all inputs in, in their order; what is rejected on the way.

        Raises:
            InputError: a file that ``input`` names isn't of the format, or of none.
        """
        files = find_files(inputs)
        if CATALOGUE in inputs and not Path(CATALOGUE).exists():
            from data_synth.tools.catalogue import load_catalogue

            for tool in load_catalogue().values():
                yield from self._counted(
                    self.collection.add(curated.of_tool(tool, CATALOGUE), CATALOGUE, tool.licence)
                )
        for path, is_named in files:
            yield from self._read_file(path, is_named)

    def _read_file(self, path: Path, is_named: bool) -> Iterator[Rejection]:
        chosen = None
        try:
            for item in read_items(path):
                chosen = chosen or self._format(item, is_named)
                if chosen is None:
                    return
                yield from self._read_item(item, chosen)
            if chosen is None:
                self._skip(path, "nothing in it", is_named)
        except UnusableError as error:
            yield from self._counted(Rejection(error.reason, error.detail, "", str(path)))

    def _read_item(self, item: Item, chosen: str) -> Iterator[Rejection]:
        for found in FORMATS[chosen].read(item):
            if isinstance(found, Rejection):
                self.collection.num_read += 1
                yield from self._counted(found)
            else:
                source = f"{chosen}/{item.path.name}"
                yield from self._counted(self.collection.add(found, source, FORMATS[chosen].licence))

    def _counted(self, rejection: Rejection | None) -> Iterator[Rejection]:
        if rejection:
            self.rejected[rejection.reason] += 1
            yield rejection

    def _format(self, item: Item, is_named: bool) -> str | None:
        """The format of the file that begins with ``item``; None where it is skipped."""
        if self.format == "auto":
            chosen = format_of(item)
            if chosen is None:
                self._skip(item.path, f"none of {', '.join(FORMATS)}", is_named)
            return chosen
        if FORMATS[self.format].recognises(item):
            return self.format
        self._skip(item.path, f"not {self.format}", is_named)
        return None

    def _skip(self, path: Path, why: str, is_named: bool) -> None:
        if is_named:
            raise InputError(f"input={path}: {why}; give another file, or another format= than {self.format}")
        self.skipped[str(path)] = why


def describe(tools: dict[str, Tool]) -> dict[str, Any]:
    """What ``manifest.json`` says of a collection: how many tools of which domain, source and licence."""
    listed = tools.values()
    return {
        "num_tools": len(tools),
        "num_with_known_output": sum(has_known_output(tool) for tool in listed),
        "domains": dict(sorted(Counter(tool.domain for tool in listed).items())),
        "sources": dict(sorted(Counter(tool.source for tool in listed).items())),
        "licences": dict(sorted(Counter(tool.licence or UNKNOWN_LICENCE for tool in listed).items())),
    }
