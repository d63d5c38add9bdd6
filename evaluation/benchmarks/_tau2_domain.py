"""τ²-bench's package seen from here: a domain's tasks, environments and evaluator, in a process of their own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

from evaluation.benchmarks import Message
from evaluation.benchmarks._tau2_trajectory import Trajectory
from evaluation.packages import Worker, WorkerError

NAMES = ("retail", "airline", "telecom")


@cache
def package(timeout_s: float) -> Worker:
    """The package's process, which the first call starts; one for all domains."""
    return Worker("tau2", "evaluation._worker.tau2_domains", timeout_s)


@dataclass(frozen=True)
class Task:
    """What decides how a task is judged.

    Attributes:
        basis: the parts whose product is the reward, such as DB and COMMUNICATE.
        num_assertions: in natural language, which only a judge can tell.
    """

    id: str
    basis: tuple[str, ...]
    num_assertions: int
    has_history: bool


@dataclass(frozen=True)
class Scene:
    """What the two sides of a task's dialogue are told and may use; tools are OpenAI schemas.

    Attributes:
        stops: a user's message that has one of these in it ends the dialogue.
        instructions: the user's, by the names that the task gives its parts.
        gold_actions: calls {name, arguments, requestor} in order.
        gold_information: what the agent must tell the user.
    """

    agent_prompt: str
    agent_tools: list[dict[str, Any]]
    user_prompt: str
    user_tools: list[dict[str, Any]]
    greeting: str
    stops: list[str]
    instructions: dict[str, str | None]
    gold_actions: list[dict[str, Any]]
    gold_information: list[str]


class Domain:
    """One domain over the package's base tasks, or over those in the file ``path``."""

    def __init__(self, name: str, path: str | None, worker: Worker) -> None:
        self.name = name
        self._where = {"domain": name, "path": path}
        self._worker = worker
        self._num_sessions = itertools.count()
        rows = worker.call_twice("tasks", **self._where)
        self.tasks = {row["id"]: Task(**{**row, "basis": tuple(row["basis"])}) for row in rows}

    def scene(self, task_id: str) -> Scene:
        """How a task's dialogue begins. Raises WorkerError, as do the others."""
        return Scene(**self._worker.call_twice("scene", **self._where, task_id=task_id))

    def session(self, task_id: str) -> Session:
        """A new environment for one dialogue."""
        name = f"{self.name}/{next(self._num_sessions)}"
        return Session(self._worker, {**self._where, "task_id": task_id, "session": name})

    def judge_prompt(self, task_id: str, messages: Sequence[Message]) -> list[Message]:
        """The official question about the task's assertions; empty if it has none."""
        prompt: list[Message] = self._worker.call_twice(
            "judge_prompt", **self._where, task_id=task_id, messages=messages
        )
        return prompt

    def score(self, task_id: str, trajectory: Trajectory) -> dict[str, Any]:
        """The official evaluator's figures: ``evaluation._worker.tau2_domains.score``."""
        figures: dict[str, Any] = self._worker.call_twice(
            "score",
            **self._where,
            task_id=task_id,
            messages=trajectory.messages,
            termination_reason=trajectory.ending,
            judgement=trajectory.judgement,
        )
        return figures


class Session:
    """An environment during a dialogue. It outlives the package's process: calls are repeated in a new one."""

    def __init__(self, worker: Worker, where: dict[str, Any]) -> None:
        self._worker = worker
        self._where = where
        self._past: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(WorkerError):  # a process that is gone has forgotten
            await asyncio.to_thread(self._worker.call, "forget", session=self._where["session"])

    async def execute(self, calls: list[dict[str, Any]]) -> list[Message]:
        """The tool messages that answer the calls, in order.

        Raises:
            WorkerError: the calls take the process down, or too long.
        """
        return await asyncio.to_thread(self._execute, calls)

    def _execute(self, calls: list[dict[str, Any]]) -> list[Message]:
        request = {**self._where, "num_past": len(self._past), "calls": calls}
        results: list[Message] | None = self._worker.call_twice("execute", **request, past=None)
        if results is None:
            results = self._worker.call_twice("execute", **request, past=self._past)
            assert results is not None
        self._past += calls
        return results
