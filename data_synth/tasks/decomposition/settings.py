"""The settings of ``task=decomposition``, and of composing plans, which other tasks share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from data_synth.config import Settings, check_share
from recipes.command import InputError

Subtask = Literal["general", "dependency", "condition", "context_inheritance"]
SUBTASKS: tuple[Subtask, ...] = ("general", "dependency", "condition", "context_inheritance")


@dataclass(frozen=True)
class OperatorWeights:
    """How often each operator is tried first, relative to the others; Transform makes a subtask of its own."""

    concatenate: float
    add: float
    group: float
    mask: float
    split: float


@dataclass(frozen=True)
class ComposeSettings:
    """``recipes/compose``, which explains the keys."""

    max_atoms: int
    max_steps: int
    pair_share: float
    optional_share: float
    weights: OperatorWeights
    otherwise_share: float

    def check(self, prefix: str) -> None:
        """Raise InputError for what no plan can be made with; ``prefix`` is the group's, with its dot."""
        if self.max_atoms < 2:
            raise InputError(f"{prefix}max_atoms={self.max_atoms}: operators join two; try 2 or more")
        if self.max_steps < 2:
            raise InputError(f"{prefix}max_steps={self.max_steps}: conditions join two steps; try 2 or more")
        for key in ("pair_share", "optional_share", "otherwise_share"):
            check_share(prefix + key, getattr(self, key))
        weights = self.weights
        for key in weights.__dataclass_fields__:
            if getattr(weights, key) < 0:
                raise InputError(
                    f"{prefix}weights.{key}={getattr(weights, key)}: must not be negative; use 0 for never"
                )
        if weights.add + weights.group == 0:
            raise InputError(f"{prefix}weights.add=0: and group=0 leave nothing that joins plans; raise one")
        if weights.mask + weights.split == 0:
            raise InputError(
                f"{prefix}weights.mask=0: and split=0 leave nothing for context_inheritance; raise one"
            )


@dataclass(frozen=True)
class PlanSettings:
    """What the groups of tasks have in common whose rows are composed plans in four subtasks."""

    subtask: Literal["all", "general", "dependency", "condition", "context_inheritance"]
    num_distractors: int
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
class DecompositionSettings(PlanSettings):
    """The group ``decomposition`` of ``recipes/task/decomposition.yaml``, which explains the keys."""


@dataclass(frozen=True)
class DecompositionTaskName:
    """``recipes/task/decomposition.yaml``."""

    name: Literal["decomposition"]


@dataclass(frozen=True)
class DecompositionRun(Settings):
    """``recipes/synth.yaml`` with ``task=decomposition``."""

    task: DecompositionTaskName
    decomposition: DecompositionSettings

    def check(self) -> None:
        """Raise InputError for what no run can do."""
        super().check()
        self.decomposition.check("decomposition.")
