"""What happens while an agent answers, in order, as terminal and page show it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal, Protocol

from evaluation.benchmarks import Message


@dataclass(frozen=True)
class Event:
    """One thing to show.

    Attributes:
        kind: ``thinking`` and ``text`` are pieces as they stream; ``call`` is a tool's name and its arguments,
            ``result`` what it gave; ``task`` hands a sub-task to the agent ``name``; ``verdict`` is what a check of
            the answer (``name``) says; ``notice`` tells why an answer ends early.
        ok: False for a tool's error, a verdict of "wrong" and a notice of failure.
        agent: the agent of a router that this happened to; empty for the one that the user talks to.
    """

    kind: Literal["thinking", "text", "call", "result", "task", "verdict", "notice"]
    text: str
    name: str = ""
    ok: bool = True
    agent: str = ""


type Events[T] = Generator[Event, None, T]


class Answering(Protocol):
    """An agent, whatever is behind it."""

    def reply(self, history: list[Message]) -> Events[str]:
        """Answer the last message of ``history``, and append what was said to it.

        Args:
            history: the chat without a system message, ending with the user's.

        Returns:
            the answer's text; empty if there is none.

        Raises:
            RequestFailedError: the endpoint gave no answer.
        """
        ...


class Session:
    """One chat with an agent."""

    def __init__(self, agent: Answering) -> None:
        self._agent = agent
        self._history: list[Message] = []

    def ask(self, question: str) -> Events[str]:
        """The agent's answer. A question that fails or is stopped leaves the chat as it was before.

        Raises:
            RequestFailedError: the endpoint gave no answer.
        """
        history = [*self._history, {"role": "user", "content": question}]
        answer = yield from self._agent.reply(history)
        self._history = history
        return answer

    def forget(self) -> None:
        """Begin a new chat."""
        self._history = []
