"""The decomposition task as the command line configures it, and the rows that a run would make."""

from functools import cache, partial

import task_rows
from task_rows import accepted_rows

from data_synth.tasks.toolbox import Toolbox

settings_of = partial(task_rows.make_settings, "decomposition")
make_task = partial(task_rows.make_task, "decomposition")


@cache
def rows_of(count: int, *overrides: str) -> list[dict]:
    """The first accepted attempt at each of the first rows."""
    return accepted_rows(make_task(*overrides), count)


@cache
def toolbox(*overrides: str) -> Toolbox:
    return Toolbox.open(settings_of(*overrides))
