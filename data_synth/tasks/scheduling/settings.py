"""The settings of ``task=scheduling``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from data_synth.config import Settings, check_share
from data_synth.tasks.scheduling.recipe import Difficulty
from recipes.command import InputError

SUBTASKS = ("calendar", "meeting", "trip")


@dataclass(frozen=True)
class SchedulingTaskName:
    """``recipes/task/scheduling.yaml``."""

    name: Literal["scheduling"]


@dataclass(frozen=True)
class SchedulingSettings(Settings):
    """``recipes/synth.yaml`` with ``task=scheduling``."""

    task: SchedulingTaskName
    difficulty: Difficulty
    subtask: Literal["all", "calendar", "meeting", "trip"]
    certify: Literal["sample", "all"]
    certify_share: float
    answer_format: Literal["natural_plan", "tagged"]
    reasoning: Literal["none", "steps"]
    shots: Literal[0, 5]

    @property
    def subtasks(self) -> tuple[str, ...]:
        """The subtasks, in the order in which rows take turns."""
        return SUBTASKS if self.subtask == "all" else (self.subtask,)

    def check(self) -> None:
        """Raise InputError for what no run can do."""
        super().check()
        check_share("certify_share", self.certify_share)
        self.difficulty.check(self.subtasks)
        if self.shots and self.difficulty.style == "short":
            raise InputError(
                f"shots={self.shots}: difficulty={self.difficulty.name} has no examples; use shots=0"
            )
