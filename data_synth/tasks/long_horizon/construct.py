"""Tasks by difficulty (section 3.5): atomic tasks that build on each other, and what will go wrong."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from random import Random
from typing import Any

from data_synth.operators.mask import mask
from data_synth.operators.merge import NotApplicable
from data_synth.operators.plan import Given, Output, Plan, Step
from data_synth.operators.schema import is_valid, parameter_schema
from data_synth.simulator.effects import effect_of, entity_of, is_identifier
from data_synth.simulator.values import sample_value
from data_synth.tasks.decomposition.sense import contradiction
from data_synth.tasks.long_horizon.environment import Kind
from data_synth.tasks.long_horizon.settings import Level, LongHorizonSettings
from data_synth.tasks.procedural.grow import Grower
from data_synth.tasks.toolbox import Toolbox
from data_synth.tools.tool import KIND

TRIES_PER_STEP = 6
COUPLED_SHARE = 0.85
"""Of the requests after the first, those that begin with an earlier request's answer, where a tool takes one."""
LOOK_BACK = 0.25
"""Of the steps within a request, those that may begin with an earlier request's answer."""
FAR_SHARE = 0.5
"""Of those, the ones that look back further than the request before."""
CONFLICTING = {"date", "time", "date-time"}
"""Formats and kinds of what can be taken or full."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A call that fails at first.

    Attributes:
        step: its number.
        kind: ``unavailable`` goes away by itself after ``times`` calls; for the others the user names another value.
        slot: of the value that is wrong.
        first: what the user says first; the plan has the value that works.
    """

    step: int
    kind: Kind
    times: int = 1
    slot: str = ""
    first: Any = None
    entity: str = ""


@dataclass(frozen=True, slots=True)
class LongTask:
    """A task: requests over turns, candidate tools, troubles.

    Attributes:
        plan: with values; each turn is a request, an atomic task.
        candidates: names of the tools that the agent may call.
    """

    plan: Plan
    candidates: tuple[str, ...]
    troubles: tuple[Trouble, ...]
    difficulty: str

    def structure(self) -> list[int]:
        """Steps of each request."""
        return [len(turn.steps) for turn in self.plan.turns]


def couplings(plan: Plan) -> list[tuple[int, int]]:
    """For each edge between requests, the requests' numbers."""
    place = {step: number for number, turn in enumerate(plan.turns) for step in turn.steps}
    pairs = ((place[edge.source], place[edge.target]) for edge in plan.edges())
    return [pair for pair in pairs if pair[0] != pair[1]]


def draw_requests(
    toolbox: Toolbox, settings: LongHorizonSettings, level: Level, position: int, rng: Random
) -> Plan:
    """Atomic tasks one after the other, around the tool at ``position``; values are None.

    Raises:
        NotApplicable: the graphs have no plan of the level here; another position may.
    """
    grower = Grower(toolbox, settings.optional_share, rng)
    plan = grower.first(toolbox.tool_at(position))
    span, num_requests = level.steps_per_request, rng.randint(level.num_requests.min, level.num_requests.max)
    for request in range(num_requests):
        if request:
            plan = _opened(grower, toolbox, plan, rng)
        size = rng.randint(span.min, span.max)
        for _ in range(size * TRIES_PER_STEP):
            here = [plan.step(number) for number in sorted(plan.turns[-1].steps)]
            if len(here) >= size:
                break
            back = rng.random() < LOOK_BACK
            extended = grower.following(plan, plan.steps) if back else grower.extended(plan, here)
            plan = plan if contradiction(extended, toolbox.tools, toolbox.graphs) else extended
    if len(couplings(plan)) < len(plan.turns) // 2:
        raise NotApplicable(f"{len(plan.turns)} requests with {len(couplings(plan))} links between them")
    if len(plan.turns) < level.num_requests.min or len(plan.steps) < max(level.min_tools, level.min_calls):
        raise NotApplicable(
            f"{len(plan.turns)} requests of {len(plan.steps)} steps are fewer than the level asks"
        )
    return plan


def _opened(grower: Grower, toolbox: Toolbox, plan: Plan, rng: Random) -> Plan:
    """The plan with the first step of another request: one that needs an earlier answer, or something else."""
    for _ in range(TRIES_PER_STEP):
        if rng.random() < COUPLED_SHARE:
            turns = plan.turns[:-1] if len(plan.turns) > 1 and rng.random() < FAR_SHARE else plan.turns
            about = [plan.step(number) for turn in turns for number in sorted(turn.steps)]
            extended = grower.following(plan, about, new_turn=True)
        else:
            extended = grower.beside(plan, rng.sample(list(toolbox.tools), 20), new_turn=True)
        if extended is not plan and not contradiction(extended, toolbox.tools, toolbox.graphs):
            return extended
    return plan


def draw_masks(plan: Plan, toolbox: Toolbox, share: float, rng: Random) -> Plan:
    """The plan where some requests leave out a value that a call of theirs can't do without."""
    for turn in plan.turns:
        if rng.random() >= share:
            continue
        slots = [
            argument.slot
            for number in sorted(turn.steps)
            for name, argument in plan.step(number).arguments.items()
            if isinstance(argument, Given) and name in toolbox.tools[plan.step(number).tool].required
        ]
        slots = [slot for slot in slots if users(plan, slot) <= turn.steps]
        if slots:
            plan = mask(plan, rng.choice(slots), toolbox.tools)
    return plan


def users(plan: Plan, slot: str) -> frozenset[int]:
    """The steps that take a slot's value."""
    return frozenset(
        step.id
        for step in plan.steps
        if any(not isinstance(a, Output) and a.slot == slot for a in step.arguments.values())
    )


def draw_troubles(
    plan: Plan, toolbox: Toolbox, settings: LongHorizonSettings, language: str, rng: Random
) -> tuple[Trouble, ...]:
    """What goes wrong, at most once per request and at most once per slot."""
    troubles: list[Trouble] = []
    for turn in plan.turns:
        for number in sorted(turn.steps):
            if rng.random() < settings.failure_share:
                trouble = _wrong_value(plan, plan.step(number), turn.steps, toolbox, language, rng)
                if trouble is None or rng.random() < 0.4:
                    # Now and then an API stays down for good: the dialogue is then unsuccessful.
                    times = rng.choice((1, 1, 1, 2, settings.max_retries + 1))
                    trouble = Trouble(number, "unavailable", times)
                troubles.append(trouble)
                break
    return tuple(troubles)


def _wrong_value(
    plan: Plan, step: Step, here: frozenset[int], toolbox: Toolbox, language: str, rng: Random
) -> Trouble | None:
    """A value of the step's that turns out not to exist, or to be taken; None where it has none."""
    tool = toolbox.tools[step.tool]
    for name, argument in step.arguments.items():
        if not isinstance(argument, Given):
            continue
        takers = users(plan, argument.slot)
        if not takers <= here or min(takers) != step.id:
            continue
        schema = parameter_schema(tool, name)
        identifier = is_identifier(name, schema) and isinstance(argument.value, str)
        bookable = effect_of(tool).action in ("create", "update")
        taken = bookable and {schema.get("format"), schema.get(KIND)} & CONFLICTING
        if not identifier and not taken:
            continue
        first = sample_value(schema, rng, language, name)
        schemas = [
            parameter_schema(toolbox.tools[plan.step(n).tool], other)
            for n in takers
            for other, a in plan.step(n).arguments.items()
            if not isinstance(a, Output) and a.slot == argument.slot
        ]
        if first in (argument.value, *plan.slots().values()) or not all(is_valid(first, s) for s in schemas):
            continue
        if not identifier:
            return Trouble(step.id, "conflict", 1, argument.slot, first)
        effect = effect_of(tool)
        entity = effect.entity if name == effect.parameter else entity_of(name, schema)
        return Trouble(step.id, "not_found", 1, argument.slot, first, entity)
    return None


def with_value(plan: Plan, slot: str, value: Any) -> Plan:
    """The plan where the user says ``value`` in ``slot``."""
    steps = []
    for step in plan.steps:
        arguments = {
            name: dataclasses.replace(a, value=value) if not isinstance(a, Output) and a.slot == slot else a
            for name, a in step.arguments.items()
        }
        steps.append(dataclasses.replace(step, arguments=arguments))
    return dataclasses.replace(plan, steps=tuple(steps))
