"""What a sample asks through: the endpoints by role, and every answer kept, so that a killed run asks nothing twice."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from evaluation.asked import Asked
from evaluation.benchmarks import Message, Reply
from evaluation.client import ChatClient, RequestFailedError, Role
from evaluation.journal import Journal
from recipes.command import InputError

GROUPS: Mapping[Role, str] = {"agent": "endpoint", "user": "user", "judge": "judge"}
"""The group of keys in ``recipes/eval.yaml`` that says where a role is served."""


class Chats:
    """The endpoints of a run; use as an async context manager.

    Attributes:
        num_answers: how many each role's endpoint gave, those of earlier starts not counted.
    """

    def __init__(self, clients: Mapping[Role, ChatClient], journal: Journal, seed: int) -> None:
        self.clients = clients
        self.journal = journal
        self.seed = seed
        self.num_answers: Counter[Role] = Counter()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for client in self.clients.values():
            await self._stack.enter_async_context(client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def of(self, sample_id: str, trial: int) -> SampleChat:
        """The chat of one sample in one trial (from 0), at its beginning."""
        return SampleChat(self, sample_id, trial)


class SampleChat:
    """``evaluation.benchmarks.Chat`` over the endpoints and the journal."""

    def __init__(self, chats: Chats, sample_id: str, trial: int) -> None:
        self._chats = chats
        self._sample_id = sample_id
        self._trial = trial
        self._num_asked = 0
        self._before: dict[Role, Asked] = {}

    @property
    def seed(self) -> int:
        """The run's seed plus the trial."""
        return self._chats.seed + self._trial

    async def ask(
        self,
        messages: Sequence[Message],
        *,
        role: Role = "agent",
        tools: Sequence[Mapping[str, Any]] | None = None,
        stop: Sequence[str] | None = None,
    ) -> Reply:
        """The journal's answer to the sample's next request, or else the endpoint's.

        Raises:
            RequestFailedError: no answer.
            InputError: no such endpoint, or the journal holds an answer to something else.
        """
        if role not in self._chats.clients:
            raise missing_role(role, self._sample_id)
        index, self._num_asked = self._num_asked, self._num_asked + 1
        digest = _digest(role, messages, tools, stop)
        asked = Asked([dict(message) for message in messages], list(tools or ()))
        before, self._before[role] = self._before.get(role, Asked()), asked
        journal = self._chats.journal
        kept = journal.answer(self._sample_id, self._trial, index)
        if kept is None:
            try:
                answer = await self._chats.clients[role].ask(messages, self.seed, tools, stop)
            except RequestFailedError as error:
                error.role = role
                raise
            self._chats.num_answers[role] += 1
            journal.keep_answer(
                self._sample_id, self._trial, role, index, digest, asked.beyond(before), answer
            )
            return answer.reply
        if kept.digest != digest:
            raise InputError(
                f"output_dir={journal.output_dir}: request {index + 1} of {self._sample_id} isn't the one that "
                "requests.jsonl has the answer to: benchmark or code have changed since; give another "
                "output_dir, or resume=never"
            )
        return kept.reply


def missing_role(role: Role, who: str) -> InputError:
    """The error of ``who`` needing a role that no endpoint plays."""
    group = GROUPS[role]
    return InputError(
        f"{group}.base_url=null: {who} asks the {role} as well; give {group}.base_url and {group}.model"
    )


def _digest(
    role: Role,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]] | None,
    stop: Sequence[str] | None,
) -> str:
    request = {"role": role, "messages": messages, "tools": tools or None, "stop": stop or None}
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
