"""Reading data rows line by line, each checked before anything is made of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from recipes.command import InputError

ROLES = ("system", "user", "assistant", "tool")
FIELDS: dict[str, tuple[type, str]] = {
    **dict.fromkeys(("id", "task", "subtask"), (str, "text")),
    **dict.fromkeys(("messages", "tools"), (list, "a list")),
    **dict.fromkeys(("gold", "meta"), (dict, "an object")),
}


@dataclass(frozen=True)
class Row:
    """A data row, and where it stands (``file:line``)."""

    id: str
    task: str
    subtask: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    gold: dict[str, Any]
    meta: dict[str, Any]
    place: str

    @property
    def domain(self) -> str:
        return f"{self.task}/{self.subtask}"

    def texts(self) -> Iterator[str]:
        """Every string in messages and tools, names and arguments of calls included."""
        return _strings([self.messages, self.tools])


@dataclass(frozen=True)
class Lines:
    """Lines of a file as they are, the first of them numbered ``first`` from 1."""

    path: str
    first: int
    lines: tuple[bytes, ...]

    @property
    def num_bytes(self) -> int:
        return sum(map(len, self.lines))

    def rows(self) -> list[Row]:
        """The rows that they hold.

        Raises:
            InputError: one is malformed; the message names its line.
        """
        return [_parse(line, f"{self.path}:{number}") for number, line in enumerate(self.lines, self.first)]


def read_lines(paths: Sequence[str], batch_rows: int) -> Iterator[Lines]:
    """The lines of all files, in order, at most ``batch_rows`` at a time and none of two files together."""
    for path in paths:
        with Path(path).open("rb") as file:
            first = 1
            for lines in batched(file, batch_rows):
                yield Lines(path, first, lines)
                first += len(lines)


def check_files(paths: Sequence[str]) -> None:
    """Refuse what is no file.

    Raises:
        InputError: naming it.
    """
    for path in paths:
        if Path(path).is_dir():
            raise InputError(f"input={path}: a folder; give the data.jsonl in it")
        if not Path(path).is_file():
            raise InputError(
                f"input={path}: no such file; give the data.jsonl that python -m data_synth wrote"
            )


def sample_rows(paths: Sequence[str], per_domain: int, batch_rows: int) -> list[Row]:
    """The first ``per_domain`` rows of each domain; every row of the files is checked.

    Raises:
        InputError: a row is malformed, or there is none.
    """
    counts, sample = dict[str, int](), list[Row]()
    for lines in show_progress(read_lines(paths, batch_rows), "checking rows", paths):
        for row in lines.rows():
            counts[row.domain] = counts.get(row.domain, 0) + 1
            if counts[row.domain] <= per_domain:
                sample.append(row)
    if not sample:
        raise no_rows(paths)
    return sample


def no_rows(paths: Sequence[str]) -> InputError:
    """What is said of empty files."""
    return InputError(f"input={','.join(paths)}: no rows; run python -m data_synth with num_samples above 0")


class Sized(Protocol):
    """What remembers how many bytes of input it is made of."""

    @property
    def num_bytes(self) -> int: ...


def show_progress[Part: Sized](parts: Iterable[Part], what: str, paths: Sequence[str]) -> Iterator[Part]:
    """Pass ``parts`` on under a progress bar over the bytes of ``paths``, from the second second on.

    A log file gets a line every ten seconds.
    """
    interval = 0.1 if sys.stderr.isatty() else 10
    total = sum(Path(path).stat().st_size for path in paths)
    with tqdm(desc=what, total=total, unit="B", unit_scale=True, mininterval=interval, delay=1) as bar:
        for part in parts:
            yield part
            bar.update(part.num_bytes)


def _parse(line: bytes, place: str) -> Row:
    try:
        raw = json.loads(line)
    except ValueError as error:
        cut = "" if line.endswith(b"\n") else ", the file is cut off"
        raise malformed(place, f"not JSON{cut} ({error})") from None
    if not isinstance(raw, dict):
        raise malformed(place, "not a JSON object")
    if b"\\u" in line and _holds_lone_surrogate(raw):
        raise malformed(place, "holds half of a surrogate pair (\\ud800 to \\udfff), which is no text")
    for key, (kind, name) in FIELDS.items():
        if not isinstance(raw.get(key), kind):
            raise malformed(place, f"{key}={_short(raw.get(key))}: must be {name}")
    for j, tool in enumerate(raw["tools"]):
        if not isinstance(tool, dict):
            raise malformed(place, f"tools[{j}]={_short(tool)}: must be an object")
    for i, message in enumerate(raw["messages"]):
        _check_message(message, f"messages[{i}]", place)
    if not any(message["role"] == "assistant" for message in raw["messages"]):
        raise malformed(place, "messages: no assistant message, so nothing to learn")
    return Row(**{key: raw[key] for key in FIELDS}, place=place)


def _check_message(message: Any, key: str, place: str) -> None:
    if not isinstance(message, dict):
        raise malformed(place, f"{key}={_short(message)}: must be an object")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise malformed(place, f"{key}.role={_short(role)}: must be one of {', '.join(ROLES)}")
    calls = message.get("tool_calls")
    if content is None and role == "assistant" and calls:
        message["content"] = ""  # OpenAI writes null beside tool calls, Qwen3's template wants text
    elif not isinstance(content, str):
        raise malformed(place, f"{key}.content={_short(content)}: must be text")
    if not isinstance(message.get("reasoning_content"), str | None):
        raise malformed(
            place, f"{key}.reasoning_content={_short(message['reasoning_content'])}: must be text"
        )
    if not isinstance(calls, list | None):
        raise malformed(place, f"{key}.tool_calls={_short(calls)}: must be a list")
    for j, call in enumerate(calls or []):
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise malformed(place, f"{key}.tool_calls[{j}]={_short(call)}: must hold a function with a name")
        if not isinstance(function.get("arguments"), str | dict):
            raise malformed(place, f"{key}.tool_calls[{j}]: arguments must be JSON text or an object")


def malformed(place: str, what: str) -> InputError:
    """What is said of a row, by its ``file:line``."""
    return InputError(f"input={place}: {what}; delete the line, or run the command that wrote it again")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."


def _holds_lone_surrogate(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
