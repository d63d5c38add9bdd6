"""All tasks as one."""

from __future__ import annotations

import dataclasses
from typing import Any

from data_synth.tasks.base import Attempt, Task
from data_synth.tasks.mixture.schedule import Schedule
from data_synth.tasks.mixture.settings import MixtureRun


class MixtureTask:
    """Row ``index`` is the next row of the task whose turn it is, as that task alone would make it."""

    def __init__(self, settings: MixtureRun, tasks: dict[str, Any]) -> None:
        weights = dataclasses.asdict(settings.weights)
        self._schedule = Schedule(weights, settings.num_samples)
        self._tasks: dict[str, Task] = {name: tasks[name](settings) for name in self._schedule.tasks}
        self.generator = ", ".join(task.generator for task in self._tasks.values())

    def attempt(self, index: int, attempt: int) -> Attempt:
        name, turn = self._schedule[index]
        return self._tasks[name].attempt(turn, attempt)

    def domain(self, index: int) -> str:
        name, turn = self._schedule[index]
        return self._tasks[name].domain(turn)
