"""Rows on more than one machine, by Ray Data: the same chunks in the same order, so the same bytes."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray

CHUNKS_PER_BLOCK = 4


def map_on_ray[Item, Result](
    function: Callable[[Item], Result], items: Sequence[Item], address: str | None
) -> Iterator[Result]:
    """``map(function, items)`` on the cluster at ``address``; None: on this machine alone.

    Blocks stream and are handed over in order, so that memory is bounded by Ray's own limits. The project must be
    installed on every machine. What the function raises is raised here.
    """
    ray.init(address=address, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        shared = ray.put(function)
        blocks = max(1, len(items) // CHUNKS_PER_BLOCK)
        chunks = ray.data.from_items(
            [{"item": pickle.dumps(item)} for item in items], override_num_blocks=blocks
        )
        results = chunks.map(_call, fn_args=(shared,))  # type: ignore[arg-type]  # it takes more than a row
        for row in results.iter_rows():
            outcome = pickle.loads(row["result"])
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome
    finally:
        ray.shutdown()


def _call(row: dict[str, Any], shared: Any) -> dict[str, Any]:
    """Ray wraps what a task raises into an error of its own: it travels as a value instead."""
    function = ray.get(shared)
    try:
        outcome = function(pickle.loads(row["item"]))
    except Exception as error:
        outcome = error
    return {"result": pickle.dumps(outcome)}
