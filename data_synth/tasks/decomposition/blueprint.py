"""A plan and the dialogue around it: what ``compose`` makes, and what every tools' task begins with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from data_synth.operators.plan import Given, Masked, Output, Plan, Step
from data_synth.tasks.decomposition.settings import Subtask
from data_synth.tools.tool import Tool

RoundKind = Literal["request", "refinement", "answer"]


@dataclass(frozen=True, slots=True)
class Round:
    """One exchange: what the user says, what the assistant plans, and what it says back.

    Attributes:
        kind: ``request`` brings up new steps (a turn of the plan), ``refinement`` only new values for steps planned
            before, ``answer`` gives the masked values that the round before asked for.
        turn: of the plan, from 0.
        steps: what the assistant plans now, in order, ids as in the plan. An argument is there if its value is known
            by now: masked values become Given in the round that answers; values of later turns are missing.
        run: ids of those of ``steps`` that weren't planned before with these arguments. A task that calls tools runs
            these; the others were run in an earlier round.
        slots: what the user says in this round, by slot.
        asks: masked slots that the reply asks for; the next round is their ``answer``.
        query: the user's words.
        texts: a sentence per step of ``steps``.
        reply: the assistant's words to the user.
    """

    kind: RoundKind
    turn: int
    steps: tuple[Step, ...]
    run: frozenset[int]
    slots: Mapping[str, Any]
    asks: tuple[str, ...] = ()
    query: str = ""
    texts: tuple[str, ...] = ()
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A plan with values, and its rounds with words.

    Attributes:
        plan: with every value, masked ones included.
        rounds: one per assistant message, in order.
    """

    plan: Plan
    subtask: Subtask
    language: str
    rounds: tuple[Round, ...]

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools that the plan calls, in order."""
        return tuple(dict.fromkeys(step.tool for step in self.plan.steps))


def rounds_of(plan: Plan, tools: Mapping[str, Tool]) -> tuple[Round, ...]:
    """The exchanges that a plan calls for, without words.

    A turn is one round; if a call of it can't do without a masked value, the round plans what can be done and asks,
    and a second round plans the whole turn.
    """
    rounds: list[Round] = []
    said: set[str] = set()
    asked_for: set[int] = set()
    masked = plan.masked()
    for number, turn in enumerate(plan.turns):
        before = set(said)
        said |= turn.slots
        here = [step for step in plan.steps if step.id in turn.steps]
        refined = [step for step in plan.steps if step.id in asked_for and _takes(step, turn.slots)]
        asked_for |= turn.steps
        planned = sorted([*here, *refined], key=lambda step: step.id)
        asks = tuple(
            slot for slot in masked if slot not in before and any(_takes(s, {slot}) for s in planned)
        )
        values = {slot: value for slot, value in plan.slots().items() if slot in turn.slots}
        kind: RoundKind = "request" if here else "refinement"
        done = frozenset[int]()
        if asks:
            blocked = _blocked(plan, asks)
            now = tuple(_known(step, said, tools) for step in planned if step.id not in blocked)
            done = frozenset(step.id for step in now)
            rounds.append(Round(kind, number, now, done, values, asks))
            said |= set(asks)
            kind, values = "answer", {slot: masked[slot] for slot in asks}
        steps = tuple(_known(step, said, tools) for step in planned)
        run = frozenset(step.id for step in steps) - done
        rounds.append(Round(kind, number, steps, run, values))
    return tuple(rounds)


def _takes(step: Step, slots: frozenset[str] | set[str]) -> bool:
    return any(not isinstance(a, Output) and a.slot in slots for a in step.arguments.values())


def _blocked(plan: Plan, slots: tuple[str, ...]) -> set[int]:
    """The steps that can't be run without these masked values."""
    found: set[int] = set()
    for step in plan.steps:
        if _takes(step, set(slots)) or any(source in found for source, _ in step.sources()):
            found.add(step.id)
    return found


def _known(step: Step, said: set[str], tools: Mapping[str, Tool]) -> Step:
    """The step with the arguments whose values are known."""
    arguments = {
        name: Given(argument.value, argument.slot) if isinstance(argument, Masked) else argument
        for name, argument in step.arguments.items()
        if isinstance(argument, Output) or argument.slot in said
    }
    assert set(tools[step.tool].required) <= set(arguments)
    return dataclasses.replace(step, arguments=arguments)
