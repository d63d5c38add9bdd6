"""One row, made in any process: attempts until one is accepted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from data_synth.config import Settings
from data_synth.filters.simhash import simhash
from data_synth.tasks import TASKS
from data_synth.tasks.base import Task
from recipes.command import InputError


@dataclass(slots=True)
class Candidate:
    """A row before it is compared with earlier ones; lines end in a newline.

    Attributes:
        text_hash: SimHash of what the user says; None where the task's rows are never near-duplicates.
    """

    index: int
    attempt: int
    fingerprint: str
    text_hash: int | None
    line: str
    rejected: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def follows(self, other: Candidate, reason: str, domain: str) -> None:
        """Take over what was rejected before this one, ``other`` for ``reason`` last of all."""
        line = rejected_line(other.index, domain, other.attempt, reason, other.fingerprint)
        self.rejected[:0] = [*other.rejected, line]
        self.reasons += other.reasons + Counter([reason])


@dataclass(frozen=True)
class RowMaker:
    """What workers run: rows by their indices, without regard to other rows."""

    task: Task
    settings: Settings

    def __call__(self, indices: Iterable[int]) -> list[Candidate]:
        return [self.make(index, first=0) for index in indices]

    def make(self, index: int, first: int) -> Candidate:
        """The first accepted attempt from ``first`` on.

        Raises:
            InputError: none of ``max_attempts``.
        """
        rejected: list[str] = []
        reasons: Counter[str] = Counter()
        domain = self.task.domain(index)
        for number in range(first, first + self.settings.max_attempts):
            attempt = self.task.attempt(index, number)
            if attempt.reason is None:
                text_hash = near_hash(attempt.content)
                line = dump(attempt.content)
                return Candidate(index, number, attempt.fingerprint, text_hash, line, rejected, reasons)
            reasons[attempt.reason] += 1
            rejected.append(
                rejected_line(index, domain, number, attempt.reason, attempt.fingerprint, **attempt.content)
            )
        counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        task, subtask = domain.split("/")
        raise InputError(
            f"max_attempts={self.settings.max_attempts}: no {domain} row {TASKS[task].accepted} ({counts});"
            f" {TASKS[task].advice.format(task=task, subtask=subtask)} or raise max_attempts"
        )


def near_hash(row: dict[str, Any]) -> int | None:
    """By what near-duplicates of ``row`` are found."""
    if not TASKS[row["task"]].near_duplicates:
        return None
    return simhash("\n".join(said["content"] for said in row["messages"] if said["role"] == "user"))


def rejected_line(
    index: int, domain: str, attempt: int, reason: str, fingerprint: str, **content: object
) -> str:
    """A line of ``rejected.jsonl``."""
    record = {"index": index, "domain": domain, "attempt": attempt, "reason": reason}
    return dump({**record, "fingerprint": fingerprint, **content})


def dump(record: dict[str, Any]) -> str:
    """A line of JSON."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
