"""Pools that keep order: processes that never outlive their parent, and threads for work that waits."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import islice
from typing import Any

PR_SET_PDEATHSIG = 1
CHUNKS_AHEAD = 4
"""Per worker; bounds the memory that finished chunks wait in."""

_function: Callable[[Any], Any]


def map_in_processes[Item, Result](
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
    return _in_order(executor, deque(executor.submit(_call, item) for item in ahead), remaining, _call)


def map_in_threads[Item, Result](
    function: Callable[[Item], Result], items: Iterable[Item], num_threads: int
) -> Iterator[Result]:
    """``map(function, items)`` in threads of this process, for functions that wait for somebody else.

    What a thread raises is raised here, when its turn has come and those under way have ended.
    """
    executor = ThreadPoolExecutor(num_threads, thread_name_prefix="rows")
    remaining = iter(items)
    ahead = islice(remaining, num_threads * CHUNKS_AHEAD)
    return _in_order(executor, deque(executor.submit(function, item) for item in ahead), remaining, function)


def _in_order(
    executor: Executor, waiting: deque[Future[Any]], remaining: Iterator[Any], call: Callable[[Any], Any]
) -> Iterator[Any]:
    try:
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(executor.submit(call, item) for item in islice(remaining, 1))
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
