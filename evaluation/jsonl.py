"""Text files of JSON: read with errors that name the key and the line, written aside and renamed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from recipes.command import InputError


def read_text(key: str, path: str) -> str:
    """The UTF-8 text of the file that ``key`` names.

    Raises:
        InputError: no readable UTF-8 file there.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{key}={path}: {error.strerror}; give a readable file") from None
    except UnicodeDecodeError:
        raise InputError(f"{key}={path}: not UTF-8 text; convert it") from None


def read_lines(key: str, path: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) of each line that isn't blank.

    Raises:
        InputError: a line that isn't a JSON object.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(f"{key}={path}: line {number} is no JSON; one JSON object a line") from None
        if not isinstance(value, dict):
            raise InputError(f"{key}={path}: line {number} is no JSON object; one JSON object a line")
        yield number, value


def read_finished_lines(key: str, path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file that grows by lines, less what a kill left behind the last newline; none if it isn't there.

    Raises:
        InputError: no readable UTF-8 file, or a line that isn't a JSON object.
    """
    if not path.exists():
        return
    try:
        text = path.read_bytes().rpartition(b"\n")[0].decode()
    except OSError as error:
        raise InputError(f"{key}={path}: {error.strerror}; give a readable file") from None
    except UnicodeDecodeError:
        raise InputError(f"{key}={path}: not UTF-8 text; convert it") from None
    yield from (line for _, line in read_lines(key, str(path), text))


def encode(record: Any, indent: int | None = None) -> bytes:
    """``record`` as JSON in UTF-8; escaped where it holds half a surrogate pair, as a model may send."""
    try:
        return json.dumps(record, ensure_ascii=False, indent=indent).encode()
    except UnicodeEncodeError:
        return json.dumps(record, indent=indent).encode()


def write_lines(path: Path, records: Iterable[Any]) -> None:
    """Replace ``path`` with one record a line, in one step."""
    replace(path, b"".join(encode(record) + b"\n" for record in records))


def replace(path: Path, content: bytes) -> None:
    """Replace the file at ``path`` with ``content``, in one step."""
    aside = path.with_suffix(path.suffix + ".partial")
    aside.write_bytes(content)
    aside.replace(path)


def quote(text: str, limit: int = 80) -> str:
    """``text`` on one line within quotation marks, cut to ``limit`` characters, for a message."""
    shown = " ".join(text[: limit + 1].split())
    return f'"{shown if len(text) <= limit else shown[: limit - 1] + "…"}"'
