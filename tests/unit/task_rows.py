"""A task as the command line would configure it, and the rows that a run of it would make."""

from typing import Any

from data_synth.config import Settings
from data_synth.tasks import entry
from recipes.command import compose, typed


def make_settings(name: str, *overrides: str) -> Any:
    """The settings of ``task=name``."""
    settings: Settings = typed(
        entry(name).settings, compose("synth", [f"task={name}", "output_dir=unused", *overrides])
    )
    settings.check()
    return settings


def make_task(name: str, *overrides: str) -> Any:
    """The task called ``name``."""
    return entry(name).make(make_settings(name, *overrides))


def accepted(task: Any, index: int) -> dict:
    """The first accepted attempt at a row."""
    for number in range(task.settings.max_attempts):
        attempt = task.attempt(index, number)
        if attempt.reason is None:
            return attempt.content
    raise AssertionError(f"no row {index}")


def accepted_rows(task: Any, count: int) -> list[dict]:
    """The first rows of a run, repeated structures included."""
    return [accepted(task, index) for index in range(count)]
