"""Ask an endpoint for many samples at once, and keep every answer as it comes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence

from tqdm import tqdm

from evaluation.benchmarks import Message
from evaluation.client import Answer, ChatClient, RequestFailedError

NOT_ASKED = "not asked: the run was given up"


class Run:
    """One pass over the samples that have no answer yet.

    Attributes:
        errors: what went wrong, by id, for each sample that ends without an answer.
    """

    def __init__(
        self,
        client: ChatClient,
        concurrency: int,
        give_up_after: int,
        prompt: Callable[[str], list[Message]],
        keep: Callable[[str, Answer], None],
    ) -> None:
        self._client = client
        self._concurrency = concurrency
        self._give_up_after = give_up_after
        self._prompt = prompt
        self._keep = keep
        self._failures_in_a_row = 0
        self._given_up = False
        self.errors: dict[str, str] = {}

    async def ask_all(self, ids: Sequence[str], num_done: int) -> None:
        """Ask for all ``ids``, ``concurrency`` at a time; ``num_done`` samples were answered before.

        The run is given up when the server refuses it, or when ``give_up_after`` requests in a row failed
        after all their retries; the samples left over are errors too.
        """
        waiting = iter(ids)
        mininterval = 0.1 if sys.stderr.isatty() else 5.0
        total = num_done + len(ids)
        with tqdm(
            total=total, initial=num_done, unit="answer", desc="asking", mininterval=mininterval
        ) as bar:
            async with self._client, asyncio.TaskGroup() as workers:
                for _ in range(min(self._concurrency, len(ids))):
                    workers.create_task(self._work(waiting, bar))
        self.errors |= dict.fromkeys(waiting, NOT_ASKED)

    async def _work(self, waiting: Iterator[str], bar: tqdm[None]) -> None:
        while not self._given_up and (sample_id := next(waiting, None)) is not None:
            try:
                answer = await self._client.ask(self._prompt(sample_id))
            except RequestFailedError as error:
                self.errors[sample_id] = str(error)
                self._failures_in_a_row += error.fault == "server"
                self._given_up |= error.fault == "run" or self._failures_in_a_row >= self._give_up_after
                bar.set_postfix(failed=len(self.errors), refresh=False)
            else:
                self._failures_in_a_row = 0
                self._keep(sample_id, answer)
                bar.update()
