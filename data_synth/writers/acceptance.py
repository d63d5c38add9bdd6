"""Which rows may be trained on: none whose own text holds a control token."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from data_synth.writers.rows import Row


class Acceptance:
    """Rejects rows in which a control token such as ``<|im_end|>`` stands in a message or a tool.

    A tokenizer can't tell it from the template's own, so a user's text could end a turn and speak as the
    assistant. Markup such as ``<think>`` is allowed: models write it. Rejected rows go to a file, with their
    reason.

    Attributes:
        last_reason: of the newest rejection.
    """

    def __init__(self, control_tokens: Iterable[str], rejected: Path) -> None:
        self._pattern = re.compile("|".join(re.escape(token) for token in control_tokens))
        self._rejected = rejected.open("w", encoding="utf-8")
        self.num_accepted, self.num_rejected, self.last_reason = 0, 0, ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._rejected.close()

    def filter(self, rows: Iterable[Row]) -> list[Row]:
        """The rows that may pass, in their order."""
        return [row for row in rows if self._accepts(row)]

    def _accepts(self, row: Row) -> bool:
        found = next((match for text in row.texts() if (match := self._pattern.search(text))), None)
        if found is None:
            self.num_accepted += 1
            return True
        self.num_rejected += 1
        self.last_reason = f"control token {found.group()} in its text"
        line = {"id": row.id, "place": row.place, "reason": self.last_reason}
        self._rejected.write(json.dumps(line, ensure_ascii=False) + "\n")
        return False
