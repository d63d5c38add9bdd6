"""Do two files share an instance or a tool? Training on what is tested would show nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from data_synth.selection.pool import tool_names
from data_synth.writers.rows import read_lines, show_progress
from recipes.command import InputError


@dataclass
class Contents:
    """What a file holds that no other split may."""

    path: str
    num_rows: int = 0
    instances: dict[str, str] = field(default_factory=dict)
    """``meta.instance``, under the task's name, to the id of the first row that has it."""
    tools: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Leak:
    """What two files share: how many, and one of them with the rows that have it."""

    kind: str
    paths: tuple[str, str]
    count: int
    example: str
    ids: tuple[str, str]

    def __str__(self) -> str:
        return (
            f"{self.paths[0]} and {self.paths[1]} share {self.count} {self.kind}{'s' if self.count > 1 else ''},"
            f" such as {self.example} of rows {self.ids[0]} and {self.ids[1]}"
        )


def read_contents(path: str, batch_rows: int) -> Contents:
    """The instances and tools of a file of rows.

    Raises:
        InputError: a row is malformed, or has no ``meta.instance``.
    """
    contents = Contents(path)
    for lines in show_progress(read_lines([path], batch_rows), f"reading {path}", [path]):
        for row in lines.rows():
            instance = row.meta.get("instance")
            if not isinstance(instance, str):
                raise InputError(
                    f"check={row.place}: no meta.instance; make the rows with python -m data_synth"
                )
            contents.num_rows += 1
            contents.instances.setdefault(f"{row.task} {instance}", row.id)
            for name in tool_names(row):
                contents.tools.setdefault(name, row.id)
    return contents


def find_leaks(files: Sequence[Contents]) -> list[Leak]:
    """What any two of the files share."""
    leaks = []
    for one, other in combinations(files, 2):
        for kind in ("instance", "tool"):
            mine, theirs = getattr(one, f"{kind}s"), getattr(other, f"{kind}s")
            if shared := sorted(mine.keys() & theirs.keys()):
                first = shared[0]
                ids = (mine[first], theirs[first])
                leaks.append(Leak(kind, (one.path, other.path), len(shared), first, ids))
    return leaks


def check_splits(paths: Sequence[str], batch_rows: int, key: str = "check") -> list[Contents]:
    """The files' contents, if no two share anything.

    Raises:
        InputError: they do, or there are fewer than two files.
    """
    if len(set(paths)) < 2 or len(set(paths)) < len(paths):
        raise InputError(
            f"{key}=[{','.join(paths)}]: name two files or more, each once: {key}=[train.jsonl,test.jsonl]"
        )
    for path in paths:
        if not Path(path).is_file():
            raise InputError(f"{key}={path}: no such file; give a data.jsonl that python -m data_synth wrote")
    files = [read_contents(path, batch_rows) for path in paths]
    if leaks := find_leaks(files):
        said = "; ".join(map(str, leaks))
        raise InputError(
            f"{key}=[{','.join(paths)}]: {said}; make them with split=train, split=validation and split=test"
        )
    return files
