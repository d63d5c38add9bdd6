"""Tell reasoning, tool calls and answer apart in a text that arrives in pieces."""

from __future__ import annotations

import re
from typing import Literal

type Part = Literal["text", "thinking", "call", "cut call"]

_OPENS: dict[str, Part] = {"<think>": "thinking", "<tool_call>": "call"}
_CLOSES = {"thinking": ["</think>"], "call": ["</tool_call>"]}
_LONGEST_TAG = len("</tool_call>")


class Splitter:
    """Qwen3's ``<think>…</think>``, before any text, and ``<tool_call>…</tool_call>`` anywhere.

    Every piece is looked at once. What may be the beginning of a tag is held back until the next piece tells.
    Whitespace between reasoning and text is dropped.
    """

    def __init__(self, calls: bool) -> None:
        """``calls``: whether tool calls are written as text; otherwise their tags are text like any other."""
        self._calls = calls
        self._mode: Part = "text"
        self._pending = ""
        self._call: list[str] = []
        self._has_text = False

    def feed(self, piece: str) -> list[tuple[Part, str]]:
        """What is certain after ``piece``: texts as far as they have come, calls when they are closed."""
        text, start = self._pending + piece, 0
        found: list[tuple[Part, str]] = []
        while hit := self._find_tag(text, start):
            if hit[0] == "<think>" and text[start : hit.start()].strip():
                self._emit(text[start : hit.end()], found)  # too late for reasoning
            else:
                self._emit(text[start : hit.start()], found)
                self._switch(hit[0], found)
            start = hit.end()
        cut = len(text) - self._length_of_beginning(text[start:][-_LONGEST_TAG:])
        self._emit(text[start:cut], found)
        self._pending = text[cut:]
        return found

    def end(self) -> list[tuple[Part, str]]:
        """What is left: the beginning of a tag that never came, or a call that was cut off."""
        found: list[tuple[Part, str]] = []
        self._emit(self._pending, found)
        self._pending = ""
        if self._mode == "call":
            found.append(("cut call", "".join(self._call)))
        return found

    def _tags(self) -> list[str]:
        if self._mode != "text":
            return _CLOSES[self._mode]
        return ["<think>"] * (not self._has_text) + ["<tool_call>"] * self._calls

    def _find_tag(self, text: str, start: int) -> re.Match[str] | None:
        tags = self._tags()
        return re.compile("|".join(tags)).search(text, start) if tags else None

    def _switch(self, tag: str, found: list[tuple[Part, str]]) -> None:
        if self._mode == "call":
            found.append(("call", "".join(self._call)))
            self._call = []
        self._mode = _OPENS.get(tag, "text")

    def _length_of_beginning(self, end: str) -> int:
        """Length of the longest end of what is pending that begins a tag."""
        return max(
            (n for tag in self._tags() for n in range(1, len(tag)) if end.endswith(tag[:n])), default=0
        )

    def _emit(self, text: str, found: list[tuple[Part, str]]) -> None:
        if self._mode == "call":
            self._call.append(text)
            return
        if self._mode == "text" and not self._has_text:
            text = text.lstrip()
            self._has_text = bool(text)
        if text:
            found.append((self._mode, text))
