"""The settings of ``task=tool_augmented``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from data_synth.config import Settings
from data_synth.tasks.decomposition.settings import SUBTASKS, ComposeSettings, Subtask
from recipes.command import InputError


@dataclass(frozen=True)
class ToolAugmentedSettings:
    """The group ``tool_augmented`` of ``recipes/task/tool_augmented.yaml``, which explains the keys."""

    subtask: Literal["all", "general", "dependency", "condition", "context_inheritance"]
    num_distractors: int
    distractors: Literal["lexical", "embedding"]
    compose: ComposeSettings

    @property
    def subtasks(self) -> tuple[Subtask, ...]:
        """The subtasks, in the order in which rows take turns."""
        return SUBTASKS if self.subtask == "all" else (self.subtask,)

    def check(self, prefix: str) -> None:
        """Raise InputError for what no run can do."""
        if self.num_distractors < 0:
            raise InputError(
                f"{prefix}num_distractors={self.num_distractors}: must not be negative; use 0 for none"
            )
        self.compose.check(f"{prefix}compose.")


@dataclass(frozen=True)
class ToolAugmentedName:
    """``recipes/task/tool_augmented.yaml``."""

    name: Literal["tool_augmented"]


@dataclass(frozen=True)
class ToolAugmentedRun(Settings):
    """``recipes/synth.yaml`` with ``task=tool_augmented``."""

    task: ToolAugmentedName
    tool_augmented: ToolAugmentedSettings

    def check(self) -> None:
        """Raise InputError for what no run can do."""
        super().check()
        self.tool_augmented.check("tool_augmented.")
