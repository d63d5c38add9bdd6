"""Files as a stream of items: a JSON array's entries, JSON lines, or a whole document (JSON, YAML, Python source).

An array is read entry by entry, so that a file larger than memory can be curated.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from data_synth.tools.importers.draft import Item, UnusableError

SUFFIXES = (".json", ".jsonl", ".yaml", ".yml", ".py")
_CHUNK = 1 << 20
_SPACE = " \t\r\n"


def read_items(path: Path) -> Iterator[Item]:
    """The items of a file.

    Raises:
        UnusableError: it can't be read as what its suffix says, from where it can't.
    """
    try:
        if path.suffix == ".py":
            yield Item(path.read_text(encoding="utf-8"), path, str(path))
        elif path.suffix in (".yaml", ".yml"):
            yield from _yaml_documents(path)
        else:
            with path.open(encoding="utf-8-sig") as file:
                yield from _json_items(file, path)
    except UnicodeDecodeError as error:
        raise UnusableError("not_text", f"{path}: not UTF-8 ({error.reason})") from None


def _yaml_documents(path: Path) -> Iterator[Item]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, document in enumerate(yaml.safe_load_all(file), start=1):
                yield Item(document, path, f"{path} document {number}")
    except yaml.YAMLError as error:
        raise UnusableError("not_yaml", f"{path}: {' '.join(str(error).split())}") from None


def _json_items(file: io.TextIOBase, path: Path) -> Iterator[Item]:
    """Values one after the other; the entries of a value that is an array."""
    stream = _Stream(file, path)
    number = 0
    while stream.skip_space():
        number += 1
        if stream.peek() == "[":
            yield from _array_items(stream, path)
        else:
            yield Item(stream.value(), path, f"{path} item {number}")


def _array_items(stream: _Stream, path: Path) -> Iterator[Item]:
    stream.take("[")
    stream.skip_space()
    number = 0
    while stream.peek() != "]":
        if number:
            stream.take(",")
            stream.skip_space()
        number += 1
        yield Item(stream.value(), path, f"{path} item {number}")
        stream.skip_space()
    stream.take("]")


class _Stream:
    """The text of a file, of which a chunk or the value at hand is in memory."""

    def __init__(self, file: io.TextIOBase, path: Path) -> None:
        self._file, self._path = file, path
        self._text, self._at, self._is_whole = "", 0, False
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character; empty at the end."""
        while self._at >= len(self._text) and not self._is_whole:
            self._read(_CHUNK)
        return self._text[self._at : self._at + 1]

    def skip_space(self) -> bool:
        """Go on to what isn't white space; False at the end."""
        while (character := self.peek()) and character in _SPACE:
            self._at += 1
        return bool(character)

    def take(self, character: str) -> None:
        """Go over ``character``, which must be next."""
        if self.peek() != character:
            raise self._broken(f"expected {character!r}")
        self._at += 1

    def value(self) -> Any:
        """The JSON value that begins here, however long."""
        self.peek()
        size = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except RecursionError:
                raise self._broken("nested too deeply") from None
            except json.JSONDecodeError as error:
                if self._is_whole:
                    raise self._broken(error.msg) from None
            else:
                if end < len(self._text) or self._is_whole:
                    self._at = end
                    return value
            self._read(size)
            size *= 2

    def _read(self, size: int) -> None:
        more = self._file.read(size)
        self._is_whole = not more
        self._text, self._at = self._text[self._at :] + more, 0

    def _broken(self, what: str) -> UnusableError:
        near = " ".join(self._text[self._at : self._at + 40].split())
        return UnusableError("not_json", f"{self._path}: {what} at {near!r}")
