"""The decomposition task as the command line configures it, and the rows that a run would make."""

from functools import cache

from data_synth.tasks.decomposition.settings import DecompositionRun
from data_synth.tasks.decomposition.task import DecompositionTask
from data_synth.tasks.toolbox import Toolbox
from recipes.command import compose, typed


def settings_of(*overrides: str) -> DecompositionRun:
    config = compose("synth", ["task=decomposition", "output_dir=unused", *overrides])
    settings = typed(DecompositionRun, config)
    settings.check()
    return settings


@cache
def rows_of(count: int, *overrides: str) -> list[dict]:
    """The first accepted attempt at each of the first rows."""
    task = DecompositionTask(settings_of(*overrides))
    return [accepted(task, index) for index in range(count)]


def accepted(task: DecompositionTask, index: int) -> dict:
    for number in range(200):
        attempt = task.attempt(index, number)
        if attempt.reason is None:
            return attempt.content
    raise AssertionError(f"no row {index}")


@cache
def toolbox(*overrides: str) -> Toolbox:
    return Toolbox.open(settings_of(*overrides))
