"""What the engine asks of a task: one attempt at one row, a pure function of (index, attempt)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Split = Literal["train", "validation", "test"]
STRIDE = 1009
"""Between the positions of two attempts at a row, so that another attempt begins with another tool or text."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of one attempt at a row.

    Attributes:
        fingerprint: SHA-256 (hex) of the instance's name-free structure.
        reason: why it was rejected; None when it was accepted.
        content: the data row when accepted, else what is worth keeping of the rejected instance.
    """

    fingerprint: str
    reason: str | None
    content: dict[str, Any]


class Task(Protocol):
    """A task of ``data_synth``."""

    generator: str
    """Name and version; the version rises whenever the same seed gives other bytes."""

    def attempt(self, index: int, attempt: int) -> Attempt:
        """The ``attempt``-th try at row ``index``; depends on nothing but the settings and these two."""

    def domain(self, index: int) -> str:
        """``<task>/<subtask>`` of row ``index``."""


def in_turn[Option](options: Sequence[Option], index: int) -> tuple[Option, int]:
    """Whose turn row ``index`` is, where rows take the options in turn, and how many turns that option had before."""
    turn, place = divmod(index, len(options))
    return options[place], turn


def text_digest(text: str) -> str:
    """SHA-256 (hex) of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def split_of(fingerprint: str, test_share: float, validation_share: float = 0.0) -> Split:
    """The split that an instance or a tool belongs to, by its SHA-256 (hex), whatever the seed it was drawn with."""
    place = int(fingerprint[:13], 16)
    if place < test_share * 16**13:
        return "test"
    return "validation" if place < (test_share + validation_share) * 16**13 else "train"
