"""What selection remembers of rows: where they stand, their task, tools and operators, and what text is embedded."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_synth.writers.rows import Row, no_rows, read_lines, show_progress

MOST_CHARACTERS = 4_000
"""Of a row's text; sentence encoders read less."""
NO_TOOL = frozenset({"reply"})
"""Offered in every split: it speaks to the user."""


class Lists:
    """Lists of names, one a row, with each name held once."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self._numbers, self._ends = array("I"), array("Q", [0])

    def append(self, names: Sequence[str]) -> None:
        self._numbers.extend(self.names.setdefault(name, len(self.names)) for name in names)
        self._ends.append(len(self._numbers))

    def counts(self, rows: Sequence[int] | NDArray[np.int64]) -> dict[str, int]:
        """In how many of ``rows`` each name occurs, most frequent first; names that don't are left out."""
        found = np.zeros(len(self.names), dtype=np.int64)
        for row in rows:
            numbers = self._numbers[self._ends[row] : self._ends[row + 1]]
            found[list(set(numbers))] += 1
        counted = [(name, int(found[number])) for name, number in self.names.items() if found[number]]
        return dict(sorted(counted, key=lambda item: (-item[1], item[0])))


@dataclass
class Pool:
    """All rows, by number in the order of the input."""

    paths: list[str]
    files: array[int] = field(default_factory=lambda: array("H"))
    lines: array[int] = field(default_factory=lambda: array("Q"))
    tasks: list[str] = field(default_factory=list)
    subtasks: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    texts: array[int] = field(default_factory=lambda: array("Q"))
    """Number of the row's text among the distinct ones, in the order of their first appearance."""
    num_texts: int = 0
    tools: Lists = field(default_factory=Lists)
    operators: Lists = field(default_factory=Lists)

    def __len__(self) -> int:
        return len(self.ids)

    def rows_of(self, task: str) -> NDArray[np.int64]:
        return np.array([row for row, name in enumerate(self.tasks) if name == task], dtype=np.int64)


def read_pool(paths: Sequence[str], batch_rows: int) -> Pool:
    """One pass over the rows, each checked.

    Raises:
        InputError: a row is malformed, or there is none.
    """
    pool, seen, names = Pool(list(paths)), dict[bytes, int](), dict[str, str]()
    for lines in show_progress(read_lines(paths, batch_rows), "reading rows", paths):
        for number, row in enumerate(lines.rows(), lines.first):
            digest = hashlib.blake2b(row_text(row).encode(), digest_size=16).digest()
            pool.files.append(pool.paths.index(lines.path))
            pool.lines.append(number)
            pool.ids.append(row.id)
            pool.tasks.append(names.setdefault(row.task, row.task))
            pool.subtasks.append(names.setdefault(row.subtask, row.subtask))
            pool.texts.append(seen.setdefault(digest, len(seen)))
            pool.tools.append(tool_names(row))
            pool.operators.append([str(name) for name in row.meta.get("operators") or ()])
    pool.num_texts = len(seen)
    if not len(pool):
        raise no_rows(paths)
    return pool


def distinct_texts(pool: Pool, batch_rows: int, start: int) -> Iterator[str]:
    """The distinct texts from number ``start`` on, read again."""
    expected, numbers = start, iter(pool.texts)
    for lines in read_lines(pool.paths, batch_rows):
        for row in lines.rows():
            if next(numbers) == expected:
                expected += 1
                yield row_text(row)


def row_text(row: Row) -> str:
    """What the user says in a row, then what the assistant answers; the system's text is its task's."""
    said = [
        message["content"]
        for role in ("user", "assistant")
        for message in row.messages
        if message["role"] == role
    ]
    return "\n".join(said)[:MOST_CHARACTERS]


def tool_names(row: Row) -> list[str]:
    """Of the tools that the row offers; a workflow's stand in its prompt, and in ``gold.candidates``."""
    names = [tool.get("function", tool).get("name") for tool in row.tools]
    candidates = row.gold.get("candidates")
    if (row.task, row.subtask) == ("procedural", "tools") and isinstance(candidates, list):
        names += candidates
    return [name for name in names if isinstance(name, str) and name not in NO_TOOL]


def copy_rows(pool: Pool, chosen: set[int], target: Path, batch_rows: int) -> None:
    """The chosen rows' bytes as they are, in the order of the input; the last gets its newline if it had none."""
    row = 0
    with target.open("wb") as out:
        for lines in show_progress(read_lines(pool.paths, batch_rows), "writing rows", pool.paths):
            for line in lines.lines:
                if row in chosen:
                    out.write(line if line.endswith(b"\n") else line + b"\n")
                row += 1
