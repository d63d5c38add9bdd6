"""Rows of task=long_horizon as the command line would make them."""

from functools import cache

from data_synth.tasks.long_horizon.settings import LongHorizonRun
from data_synth.tasks.long_horizon.task import LongHorizonTask
from recipes.command import compose, typed


def make_task(*overrides: str) -> LongHorizonTask:
    """The task as the command line would configure it."""
    config = compose("synth", ["output_dir=unused", "task=long_horizon", *overrides])
    settings = typed(LongHorizonRun, config)
    settings.check()
    return LongHorizonTask(settings)


def accepted(task: LongHorizonTask, index: int) -> dict:
    """The first accepted attempt at a row."""
    number = 0
    while (attempt := task.attempt(index, number)).reason is not None:
        number += 1
    return attempt.content


@cache
def some_rows(count: int, *overrides: str) -> tuple[dict, ...]:
    """The first rows of a run, repeated structures included."""
    task = make_task(*overrides)
    return tuple(accepted(task, index) for index in range(count))
