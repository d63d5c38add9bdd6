"""Which branch of each condition a dialogue takes, and what the simulator's answers must be for it."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from data_synth.operators.plan import Condition, Output, Plan
from data_synth.simulator.steering import Path


class Course:
    """One way through a plan.

    Attributes:
        verdicts: condition (its text) to whether it holds.
        reachable: steps that are run on this way.
    """

    def __init__(self, plan: Plan, rng: Random) -> None:
        self.plan = plan
        self.verdicts: dict[str, bool] = {}
        self.conditions: dict[int, list[Condition]] = {}
        for step in plan.steps:
            for condition in step.when:
                if repr(condition) not in self.verdicts:
                    self._choose(condition, rng.random() < 0.5)
        self.reachable: set[int] = set()
        for step in plan.steps:
            open_ = all(self.verdicts[repr(condition)] for condition in step.when)
            if open_ and all(source in self.reachable for source, _ in step.sources()):
                self.reachable.add(step.id)

    def _choose(self, condition: Condition, holds: bool) -> None:
        self.verdicts[repr(condition)] = holds
        self.verdicts[repr(condition.negated())] = not holds
        self.conditions.setdefault(condition.step, []).append(condition if holds else condition.negated())

    def expect(self, number: int) -> tuple[Condition, ...]:
        """What must hold in the answer of step ``number``."""
        return tuple(self.conditions.get(number, ()))

    def need(self, number: int) -> tuple[Path, ...]:
        """Where the answer of step ``number`` must have something, because a step that is run takes it."""
        paths: Mapping[Path, None] = {
            argument.path: None
            for step in self.plan.steps
            if step.id in self.reachable
            for argument in step.arguments.values()
            if isinstance(argument, Output) and argument.step == number
        }
        return tuple(paths)
