"""The settings of ``task=all``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from data_synth.tasks.decomposition.settings import DecompositionSettings
from data_synth.tasks.long_horizon.settings import LongHorizonSettings
from data_synth.tasks.procedural.settings import ProceduralSettings
from data_synth.tasks.scheduling.settings import SchedulingSettings
from data_synth.tasks.tool_augmented.settings import ToolAugmentedSettings
from recipes.command import InputError


@dataclass(frozen=True)
class MixtureTaskName:
    """``recipes/task/all.yaml``."""

    name: Literal["all"]


@dataclass(frozen=True)
class Weights:
    """Rows of each task, as shares of their sum."""

    decomposition: float
    tool_augmented: float
    scheduling: float
    procedural: float
    long_horizon: float


@dataclass(frozen=True)
class MixtureRun(SchedulingSettings):
    """``recipes/synth.yaml`` with ``task=all``: every task's keys, where it has them when it is alone."""

    task: MixtureTaskName  # type: ignore[assignment]
    weights: Weights
    decomposition: DecompositionSettings
    tool_augmented: ToolAugmentedSettings
    procedural: ProceduralSettings
    long_horizon: LongHorizonSettings

    def check(self) -> None:
        """Raise InputError for what no run can do."""
        super().check()
        weights = dataclasses.asdict(self.weights)
        for name, weight in weights.items():
            if weight < 0:
                raise InputError(f"weights.{name}={weight}: a weight; use 0 to leave the task out, or more")
        if not any(weights.values()):
            raise InputError("weights: all are 0; give one task at least a weight above 0")

    def recorded(self) -> dict[str, Any]:
        """What decides the bytes of the output, the files among the sources of a drawn task included."""
        sources = self.procedural.source_digests("procedural.") if self.weights.procedural else {}
        return super().recorded() | sources
