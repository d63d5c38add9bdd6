"""The settings of ``task=procedural``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data_synth.config import Settings, check_share
from data_synth.output_folder import input_digest
from data_synth.tasks.decomposition.settings import ComposeSettings
from data_synth.tasks.procedural.workflow import SUBTASKS, Subtask
from recipes.command import InputError

BUILT_IN = ("decomposition", "questions")
"""The sources that are no files."""


@dataclass(frozen=True)
class Span:
    """A number is drawn from ``min`` to ``max``, both included."""

    min: int
    max: int

    def check(self, key: str, lowest: int) -> None:
        """Raise InputError if nothing can be drawn."""
        if self.min < lowest:
            raise InputError(f"{key}.min={self.min}: must be at least {lowest}; try {key}.min={lowest}")
        if self.max < self.min:
            raise InputError(f"{key}.max={self.max}: less than min={self.min}; raise it")


@dataclass(frozen=True)
class NumNodes:
    """By subtask."""

    qa: Span
    tools: Span


@dataclass(frozen=True)
class ProceduralSettings:
    """The group ``procedural`` of ``recipes/task/procedural.yaml``, which explains the keys."""

    subtask: Literal["all", "qa", "tools"]
    sources: list[str]
    num_nodes: NumNodes
    num_distractors: Span
    related_share: float
    compose: ComposeSettings

    def source_digests(self, prefix: str) -> dict[str, list[str]]:
        """SHA-256 of the files among the sources, in their order, to be recorded; nothing where there is none.

        Raises:
            InputError: one can't be read.
        """
        files = [Path(name) for name in self.sources if name not in BUILT_IN]
        digests = [input_digest(f"{prefix}sources", path) for path in files]
        return {f"{prefix}sources_sha256": digests} if digests else {}

    @property
    def subtasks(self) -> tuple[Subtask, ...]:
        """The subtasks, in the order in which rows take turns."""
        return SUBTASKS if self.subtask == "all" else (self.subtask,)

    def check(self, prefix: str) -> None:
        """Raise InputError for what no run can do."""
        if not self.sources:
            raise InputError(
                f"{prefix}sources=[]: nothing to plan; try {prefix}sources=[decomposition,questions]"
            )
        if len(set(self.sources)) != len(self.sources):
            raise InputError(f"{prefix}sources={self.sources}: one stands twice; name each once")
        self.num_nodes.qa.check(f"{prefix}num_nodes.qa", 2)
        self.num_nodes.tools.check(f"{prefix}num_nodes.tools", 2)
        self.num_distractors.check(f"{prefix}num_distractors", 0)
        check_share(f"{prefix}related_share", self.related_share)
        self.compose.check(f"{prefix}compose.")


@dataclass(frozen=True)
class ProceduralTaskName:
    """``recipes/task/procedural.yaml``."""

    name: Literal["procedural"]


@dataclass(frozen=True)
class ProceduralRun(Settings):
    """``recipes/synth.yaml`` with ``task=procedural``."""

    task: ProceduralTaskName
    procedural: ProceduralSettings

    def check(self) -> None:
        """Raise InputError for what no run can do."""
        super().check()
        self.procedural.check("procedural.")

    def recorded(self) -> dict[str, Any]:
        """What decides the bytes of the output, the files among the sources included."""
        return super().recorded() | self.procedural.source_digests("procedural.")
