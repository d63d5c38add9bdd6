"""Reading data rows line by line, each checked before anything is made of it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
class Survey:
    """What one pass over all input told.

    Attributes:
        num_rows: rows in all files.
        domains: their ``task/subtask`` names, sorted.
        sha256: of each file, by its path as given.
        sample: the first rows of each domain.
    """

    num_rows: int
    domains: list[str]
    sha256: dict[str, str]
    sample: list[Row]


def survey(paths: Sequence[str], sample_per_domain: int) -> Survey:
    """Read and check every row once.

    Raises:
        InputError: a file is missing or empty, or a row is malformed, with its line.
    """
    num_rows, counts, sample = 0, dict[str, int](), list[Row]()
    for row in show_progress(read_rows(paths), "checking rows"):
        num_rows += 1
        counts[row.domain] = counts.get(row.domain, 0) + 1
        if counts[row.domain] <= sample_per_domain:
            sample.append(row)
    if not num_rows:
        raise InputError(
            f"input={','.join(paths)}: no rows; run python -m data_synth with num_samples above 0"
        )
    return Survey(num_rows, sorted(counts), {path: _sha256(path) for path in paths}, sample)


def read_rows(paths: Sequence[str]) -> Iterator[Row]:
    """The rows of all files, in order.

    Raises:
        InputError: a file is missing, or a row is malformed, with its line.
    """
    for path in paths:
        if not Path(path).is_file():
            raise InputError(
                f"input={path}: no such file; give the data.jsonl that python -m data_synth wrote"
            )
        with Path(path).open("rb") as lines:
            for number, line in enumerate(lines, 1):
                yield _parse(line, f"{path}:{number}")


def show_progress(rows: Iterable[Row], what: str, total: int | None = None) -> Iterator[Row]:
    """Pass ``rows`` on under a progress bar, from the second second on; a log file gets a line every ten."""
    interval = 0.1 if sys.stderr.isatty() else 10
    return iter(tqdm(rows, what, total, unit=" rows", mininterval=interval, delay=1))


def _parse(line: bytes, place: str) -> Row:
    try:
        raw = json.loads(line)
    except ValueError as error:
        cut = "" if line.endswith(b"\n") else ", the file is cut off"
        raise _malformed(place, f"not JSON{cut} ({error})") from None
    if not isinstance(raw, dict):
        raise _malformed(place, "not a JSON object")
    if b"\\u" in line and _holds_lone_surrogate(raw):
        raise _malformed(place, "holds half of a surrogate pair (\\ud800 to \\udfff), which is no text")
    for key, (kind, name) in FIELDS.items():
        if not isinstance(raw.get(key), kind):
            raise _malformed(place, f"{key}={_short(raw.get(key))}: must be {name}")
    for j, tool in enumerate(raw["tools"]):
        if not isinstance(tool, dict):
            raise _malformed(place, f"tools[{j}]={_short(tool)}: must be an object")
    for i, message in enumerate(raw["messages"]):
        _check_message(message, f"messages[{i}]", place)
    if not any(message["role"] == "assistant" for message in raw["messages"]):
        raise _malformed(place, "messages: no assistant message, so nothing to learn")
    return Row(**{key: raw[key] for key in FIELDS}, place=place)


def _check_message(message: Any, key: str, place: str) -> None:
    if not isinstance(message, dict):
        raise _malformed(place, f"{key}={_short(message)}: must be an object")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise _malformed(place, f"{key}.role={_short(role)}: must be one of {', '.join(ROLES)}")
    calls = message.get("tool_calls")
    if content is None and role == "assistant" and calls:
        message["content"] = ""  # OpenAI writes null beside tool calls, Qwen3's template wants text
    elif not isinstance(content, str):
        raise _malformed(place, f"{key}.content={_short(content)}: must be text")
    if not isinstance(message.get("reasoning_content"), str | None):
        raise _malformed(
            place, f"{key}.reasoning_content={_short(message['reasoning_content'])}: must be text"
        )
    if not isinstance(calls, list | None):
        raise _malformed(place, f"{key}.tool_calls={_short(calls)}: must be a list")
    for j, call in enumerate(calls or []):
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise _malformed(place, f"{key}.tool_calls[{j}]={_short(call)}: must hold a function with a name")
        if not isinstance(function.get("arguments"), str | dict):
            raise _malformed(place, f"{key}.tool_calls[{j}]: arguments must be JSON text or an object")


def _malformed(place: str, what: str) -> InputError:
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


def _sha256(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
