"""Seeds that several rows are made from: made by the first thread that asks, kept while their block is in use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Any

from data_synth.llm.model import AnswerError
from data_synth.tasks.long_horizon.seeds import Seed

type Outcome = Seed | AnswerError
type Key = tuple[int, int]
"""A group, and which attempt at its seed."""


class SeedCache:
    """Outcomes of attempts at seeds, failures too, of the ``num_blocks`` blocks used last. Pickled it is empty."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._blocks: OrderedDict[int, dict[Key, Future[Outcome]]] = OrderedDict()
        self._lock = Lock()

    def get(self, block: int, key: Key, make: Callable[[], Seed]) -> Seed:
        """What ``make`` gives; while one thread makes it, the others that ask for it wait.

        Raises:
            AnswerError: ``make`` raised it, now or earlier. Any other exception is raised in all that wait, and then
                forgotten.
        """
        future, is_new = self._claim(block, key)
        if is_new:
            self._fill(future, block, key, make)
        found = future.result()
        if isinstance(found, AnswerError):
            raise AnswerError(found.reason, found.detail)
        return found

    def _claim(self, block: int, key: Key) -> tuple[Future[Outcome], bool]:
        """The future of ``key``, and whether the caller is the one to fill it."""
        with self._lock:
            futures = self._blocks.setdefault(block, {})
            self._blocks.move_to_end(block)
            while len(self._blocks) > self.num_blocks:
                self._blocks.popitem(last=False)
            is_new = key not in futures
            return futures.setdefault(key, Future()), is_new

    def _fill(self, future: Future[Outcome], block: int, key: Key, make: Callable[[], Seed]) -> None:
        try:
            future.set_result(make())
        except AnswerError as error:
            future.set_result(
                AnswerError(error.reason, error.detail)
            )  # without the traceback and what it holds
        except BaseException as error:
            with self._lock:
                self._blocks.get(block, {}).pop(key, None)
            future.set_exception(error)

    def __getstate__(self) -> dict[str, Any]:
        return {"num_blocks": self.num_blocks}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
