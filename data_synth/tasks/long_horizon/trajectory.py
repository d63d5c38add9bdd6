"""What a long dialogue came to: messages, calls, how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

REPLY = "reply"
"""The special tool that speaks to the user."""
Termination = Literal["requests_met", "tools_used", "step_limit"]


@dataclass(slots=True)
class Trajectory:
    """What was said and done.

    Attributes:
        turns: one entry per assistant message: the call, the plan's step, whether it failed.
        met: requests that were fulfilled, of ``num_requests``.
    """

    messages: list[dict[str, str]] = field(default_factory=list)
    turns: list[dict[str, Any]] = field(default_factory=list)
    num_requests: int = 0
    met: int = 0
    termination: Termination = "requests_met"

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Calls of tools other than ``reply``."""
        return [turn["call"] for turn in self.turns if turn["call"]["name"] != REPLY]

    @property
    def successful(self) -> bool:
        """The paper's label: all requirements are met."""
        return self.met == self.num_requests
