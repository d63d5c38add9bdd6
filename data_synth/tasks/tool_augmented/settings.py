"""The settings of ``task=tool_augmented``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from data_synth.config import Settings
from data_synth.tasks.decomposition.settings import PlanSettings


@dataclass(frozen=True)
class ToolAugmentedSettings(PlanSettings):
    """The group ``tool_augmented`` of ``recipes/task/tool_augmented.yaml``, which explains the keys."""

    distractors: Literal["lexical", "embedding"]


@dataclass(frozen=True)
class ToolAugmentedTaskName:
    """``recipes/task/tool_augmented.yaml``."""

    name: Literal["tool_augmented"]


@dataclass(frozen=True)
class ToolAugmentedRun(Settings):
    """``recipes/synth.yaml`` with ``task=tool_augmented``."""

    task: ToolAugmentedTaskName
    tool_augmented: ToolAugmentedSettings

    def check(self) -> None:
        """Raise InputError for what no run can do."""
        super().check()
        self.tool_augmented.check("tool_augmented.")
