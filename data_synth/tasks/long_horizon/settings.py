"""The settings of ``task=long_horizon``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from data_synth.config import Settings, check_share
from data_synth.tasks.procedural.settings import Span
from recipes.command import InputError

DIFFICULTIES = ("short", "medium", "long")


@dataclass(frozen=True)
class Level:
    """What a difficulty means.

    Attributes:
        num_requests: atomic tasks, each brought up in a turn of its own.
        steps_per_request: tool calls of an atomic task.
        min_tools: tools that the plan calls, at least.
        min_calls: calls that are carried out, at least, ``reply`` not counted.
        max_calls: the step limit: a dialogue that needs more is unsuccessful.
        num_distractors: candidate tools that the plan has no use for.
    """

    num_requests: Span
    steps_per_request: Span
    min_tools: int
    min_calls: int
    max_calls: int
    num_distractors: Span

    def check(self, key: str) -> None:
        """Raise InputError for what no run can do."""
        self.num_requests.check(f"{key}.num_requests", 1)
        self.steps_per_request.check(f"{key}.steps_per_request", 1)
        self.num_distractors.check(f"{key}.num_distractors", 0)
        most = self.num_requests.max * self.steps_per_request.max
        for name in ("min_tools", "min_calls"):
            if getattr(self, name) > most:
                raise InputError(
                    f"{key}.{name}={getattr(self, name)}: {self.num_requests.max} requests of"
                    f" {self.steps_per_request.max} steps have {most}; lower it"
                )
        if self.max_calls < self.min_calls:
            raise InputError(
                f"{key}.max_calls={self.max_calls}: less than min_calls={self.min_calls}; raise it"
            )


@dataclass(frozen=True)
class Levels:
    """By difficulty."""

    short: Level
    medium: Level
    long: Level


@dataclass(frozen=True)
class LongHorizonSettings:
    """The group ``long_horizon`` of ``recipes/task/long_horizon.yaml``, which explains the keys."""

    difficulty: Literal["all", "short", "medium", "long"]
    levels: Levels
    optional_share: float
    mask_share: float
    failure_share: float
    max_retries: int
    tool_share: float
    num_attempts: int
    keep_unsuccessful: bool
    diffused_per_seed: int
    extra_tools: Span
    replace_share: float

    @property
    def difficulties(self) -> tuple[str, ...]:
        """The difficulties, in the order in which seeds take turns."""
        return DIFFICULTIES if self.difficulty == "all" else (self.difficulty,)

    def level(self, difficulty: str) -> Level:
        """What ``difficulty`` means."""
        level: Level = getattr(self.levels, difficulty)
        return level

    def check(self, prefix: str) -> None:
        """Raise InputError for what no run can do."""
        for name in DIFFICULTIES:
            self.level(name).check(f"{prefix}levels.{name}")
        for key in ("optional_share", "mask_share", "failure_share", "tool_share", "replace_share"):
            check_share(prefix + key, getattr(self, key))
        for key, lowest in (("max_retries", 0), ("num_attempts", 1), ("diffused_per_seed", 0)):
            if getattr(self, key) < lowest:
                raise InputError(f"{prefix}{key}={getattr(self, key)}: must be at least {lowest}")
        self.extra_tools.check(f"{prefix}extra_tools", 0)


@dataclass(frozen=True)
class LongHorizonTaskName:
    """``recipes/task/long_horizon.yaml``."""

    name: Literal["long_horizon"]


@dataclass(frozen=True)
class LongHorizonRun(Settings):
    """``recipes/synth.yaml`` with ``task=long_horizon``."""

    task: LongHorizonTaskName
    long_horizon: LongHorizonSettings

    def check(self) -> None:
        """Raise InputError for what no run can do."""
        super().check()
        self.long_horizon.check("long_horizon.")
