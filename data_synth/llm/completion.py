"""What a chat completion says: read strictly, since whatever passes here is kept for good."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

FINISHED = frozenset({"stop", "length", "eos", "eos_token", "stop_sequence", "end_turn"})
"""Reasons to finish of an answer that the model gave in full, or up to ``max_tokens``; not ``abort``, ``error`` …"""

MOST_TOKENS = 1_000_000_000
"""A count beyond is no count."""


@dataclass(frozen=True)
class Usage:
    """Tokens that a server counted; None where it didn't."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def is_known(self) -> bool:
        return self.prompt_tokens is not None and self.completion_tokens is not None


@dataclass(frozen=True)
class Completion:
    """An answer as it came. ``reasoning`` is what a server's parser took out of ``text``."""

    text: str
    reasoning: str | None
    finish_reason: str
    usage: Usage


class UnusableError(Exception):
    """An answer that isn't a completion.

    Attributes:
        reason: one word for the rejected attempt.
        usage: what it cost all the same, as far as the server tells.
        final: whether asking the same again is pointless.
    """

    def __init__(self, reason: str, detail: str, usage: Usage | None = None, final: bool = False) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.usage, self.final = reason, detail, usage or Usage(), final


def read_completion(body: bytes) -> Completion:
    """The completion in the body of an answer with status 200.

    Raises:
        UnusableError: it isn't JSON, has no choice, no text, no whole text, or no reason why it ended.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnusableError("answer_malformed", f"no JSON ({type(error).__name__})") from None
    usage = _usage(value)
    try:
        choice = value["choices"][0]
        message = choice["message"]
        text, finish_reason = message["content"], choice["finish_reason"]
        reasoning = message.get("reasoning_content") or message.get("reasoning")
    except (LookupError, TypeError, AttributeError) as error:
        detail = f"no chat completion ({type(error).__name__})"
        raise UnusableError("answer_malformed", detail, usage) from None
    if not isinstance(finish_reason, str) or finish_reason not in FINISHED:
        raise UnusableError("answer_unfinished", f"finish_reason {str(finish_reason)[:40]!r}", usage)
    if text is None or text == "":
        detail = f"no text, finish_reason {finish_reason}"
        raise UnusableError("answer_empty", detail, usage, final=finish_reason == "length")
    if not _is_text(text):
        raise UnusableError("answer_malformed", "content that is no Unicode text", usage)
    return Completion(text, reasoning if _is_text(reasoning) else None, finish_reason, usage)


def _usage(value: Any) -> Usage:
    counts = value.get("usage") if isinstance(value, dict) else None
    if not isinstance(counts, dict):
        return Usage()
    return Usage(_count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens")))


def _count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
    return value if is_count else None  # type: ignore[return-value]


def _is_text(value: object) -> bool:
    """Whether it is a string that a file can hold: JSON may carry half a surrogate pair."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
