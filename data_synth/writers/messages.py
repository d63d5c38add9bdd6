"""Conversations as JSON lines for TRL, ms-swift and LLaMA-Factory.

A line has ``id``, ``task``, ``subtask``, ``messages`` (``role``, ``content``) and ``tools``. ``tools`` is JSON text, or
null without tools: all three trainers take text, and as objects the tools' different schemas would be merged into
one by Arrow. On answers stands ``loss``, which ms-swift obeys; the other two ignore it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_synth.writers.chat import compact_json, plain
from data_synth.writers.documents import Reasoning
from data_synth.writers.rows import Row

MESSAGES = "train_messages.jsonl"


@dataclass(frozen=True)
class MessagesPreparer:
    """Turns rows into lines, in whatever process.

    With ``reasoning=all`` a row gives a line for each question of the user, which ends before the next question;
    learned are the answers after the question. ``last`` gives the last of these lines.
    """

    reasoning: Reasoning

    def __call__(self, rows: Sequence[Row]) -> list[str]:
        return [compact_json(line) + "\n" for row in rows for line in self._lines(row)]

    def _lines(self, row: Row) -> Iterator[dict[str, Any]]:
        head = {"id": row.id, "task": row.task, "subtask": row.subtask}
        tools = compact_json(row.tools) if row.tools else None
        said = [plain(message) for message in row.messages]
        for first, end in _questions([message["role"] for message in row.messages], self.reasoning):
            messages: list[dict[str, Any]] = [dict(message) for message in said[:end]]
            for number, message in enumerate(messages):
                if message["role"] == "assistant":
                    message["loss"] = number >= first
            yield {**head, "messages": messages, "tools": tools}


def _questions(roles: Sequence[str], reasoning: Reasoning) -> list[tuple[int, int]]:
    """Where each answered question of the user stands, and where the last answer to it ends."""
    answers = [number for number, role in enumerate(roles) if role == "assistant"]
    found = dict[int, int]()
    for answer in answers:
        question = max((number for number in range(answer) if roles[number] == "user"), default=0)
        found[question] = answer + 1
    spans = list(found.items())
    return spans[-1:] if reasoning == "last" else spans


class MessagesWriter:
    """Writes ``train_messages.jsonl``."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / MESSAGES).open("w", encoding="utf-8")
        self._num_lines = 0

    def write(self, lines: list[str]) -> None:
        """Append ``lines``."""
        self._file.write("".join(lines))
        self._num_lines += len(lines)

    def close(self) -> dict[str, Any]:
        """Complete the file; how many lines it has."""
        self._file.close()
        return {"num_conversations": self._num_lines}
