"""Rows of task=long_horizon as the command line would make them."""

from functools import cache, partial

import task_rows
from task_rows import accepted_rows

make_task = partial(task_rows.make_task, "long_horizon")


@cache
def some_rows(count: int, *overrides: str) -> tuple[dict, ...]:
    """The first rows of a run, repeated structures included."""
    return tuple(accepted_rows(make_task(*overrides), count))
