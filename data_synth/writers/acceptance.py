"""Which rows may be trained on: none whose own text holds a control token."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from data_synth.writers.rows import Row


class Acceptance:
    """Rejects rows in which a control token such as ``<|im_end|>`` stands in a message or a tool.

    A tokenizer can't tell it from the template's own, so a user's text could end a turn and speak as the
    assistant. Markup such as ``<think>`` is allowed: models write it.
    """

    def __init__(self, control_tokens: Iterable[str]) -> None:
        self._pattern = re.compile("|".join(re.escape(token) for token in control_tokens))

    def split(self, rows: Sequence[Row]) -> tuple[list[Row], list[dict[str, str]]]:
        """The rows that may pass, in their order, and a line with its reason for each of the others."""
        accepted, rejected = list[Row](), list[dict[str, str]]()
        for row in rows:
            found = next((match for text in row.texts() if (match := self._pattern.search(text))), None)
            if found is None:
                accepted.append(row)
            else:
                reason = f"control token {found.group()} in its text"
                rejected.append({"id": row.id, "place": row.place, "reason": reason})
        return accepted, rejected
