"""A process pool that keeps order and never outlives its parent."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import Any

PR_SET_PDEATHSIG = 1
CHUNKS_AHEAD = 4
"""Per worker; bounds the memory that finished chunks wait in."""

_function: Callable[[Any], Any]


def ordered_map[Item, Result](
    function: Callable[[Item], Result],
    items: Iterable[Item],
    num_workers: int,
    prepare_worker: Callable[[], None],
) -> Iterator[Result]:
    """``map(function, items)`` in ``num_workers`` forked processes; in this process if there is one.

    The processes start at once, before the caller starts any thread. A worker's exception is raised here;
    a worker that is killed raises BrokenProcessPool.
    """
    if num_workers == 1:
        return map(function, items)
    executor = ProcessPoolExecutor(
        num_workers,
        mp_context=multiprocessing.get_context("fork"),
        initializer=_start_worker,
        initargs=(os.getpid(), function, prepare_worker),
    )
    remaining = iter(items)
    ahead = islice(remaining, num_workers * CHUNKS_AHEAD)
    return _in_order(executor, deque(executor.submit(_call, item) for item in ahead), remaining)


def _in_order(
    executor: ProcessPoolExecutor, waiting: deque[Future[Any]], remaining: Iterator[Any]
) -> Iterator[Any]:
    try:
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(executor.submit(_call, item) for item in islice(remaining, 1))
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _start_worker(parent: int, function: Callable[[Any], Any], prepare: Callable[[], None]) -> None:
    global _function
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare()
    _function = function


def _call(item: Any) -> Any:
    return _function(item)
