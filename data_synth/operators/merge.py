"""What the operators share: the refusal to apply, and two plans put side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from data_synth.operators.plan import Argument, Condition, Operator, Output, Plan, Step, Turn


class NotApplicable(Exception):  # noqa: N818 - a refusal that callers expect, not a fault
    """An operator's precondition doesn't hold; ``reason`` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def side_by_side(
    first: Plan, second: Plan, operator: Operator, shared: Mapping[str, str] | None = None
) -> Plan:
    """Both plans as one; ids, atoms and slots of ``second`` move out of the way of ``first``'s.

    The first turn of ``second`` joins the last turn of ``first``.

    Args:
        operator: what is recorded after the operators of both.
        shared: slots of ``second`` that become slots of ``first``, with its value.
    """
    names = _slot_names(first, second, shared or {})
    values = first.slots() | first.masked()
    offset = len(first.steps)
    num_atoms = 1 + max((step.atom for step in first.steps), default=-1)

    def moved(argument: Argument) -> Argument:
        if isinstance(argument, Output):
            return dataclasses.replace(argument, step=argument.step + offset)
        slot = names[argument.slot]
        return dataclasses.replace(argument, slot=slot, value=values.get(slot, argument.value))

    steps = tuple(
        Step(
            id=step.id + offset,
            tool=step.tool,
            arguments={name: moved(argument) for name, argument in step.arguments.items()},
            when=tuple(dataclasses.replace(c, step=c.step + offset) for c in step.when),
            atom=step.atom + num_atoms,
        )
        for step in second.steps
    )
    known = {slot for turn in first.turns for slot in turn.slots}
    turns = [
        Turn(
            frozenset(number + offset for number in turn.steps),
            frozenset(names[slot] for slot in turn.slots) - known,
        )
        for turn in second.turns
    ]
    seam = Turn(first.turns[-1].steps | turns[0].steps, first.turns[-1].slots | turns[0].slots)
    operators = (*first.operators, *second.operators, operator)
    return Plan(first.steps + steps, (*first.turns[:-1], seam, *turns[1:]), operators)


def _slot_names(first: Plan, second: Plan, shared: Mapping[str, str]) -> dict[str, str]:
    """Each slot of ``second`` to its name beside ``first``."""
    taken = {*first.slots(), *first.masked()}
    names: dict[str, str] = {}
    for slot in [*second.slots(), *second.masked()]:
        if slot in shared:
            names[slot] = shared[slot]
            continue
        base = slot.rsplit("_", 1)[0] if slot.rsplit("_", 1)[-1].isdigit() else slot
        number, name = 2, slot
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        names[slot] = name
    return names


def with_arguments(plan: Plan, change: Callable[[Step, str, Argument], Argument]) -> Plan:
    """The plan with each argument replaced; slots that no argument has any more leave the turns."""
    steps = tuple(
        dataclasses.replace(
            step, arguments={name: change(step, name, value) for name, value in step.arguments.items()}
        )
        for step in plan.steps
    )
    return without_unused_slots(dataclasses.replace(plan, steps=steps))


def without_unused_slots(plan: Plan) -> Plan:
    """The plan whose turns say only what its steps take from the user."""
    said = frozenset(plan.slots())
    turns = tuple(dataclasses.replace(turn, slots=turn.slots & said) for turn in plan.turns)
    return dataclasses.replace(plan, turns=turns)


def descendants(plan: Plan, numbers: Iterable[int]) -> set[int]:
    """The given steps and every step that depends on one of them."""
    found = set(numbers)
    for step in plan.steps:
        if any(source in found for source, _ in step.sources()):
            found.add(step.id)
    return found


def with_conditions(plan: Plan, numbers: Iterable[int], conditions: tuple[Condition, ...]) -> Plan:
    """The plan whose named steps run only where ``conditions`` hold, too."""
    chosen = set(numbers)
    steps = tuple(
        dataclasses.replace(
            step, when=(*step.when, *(condition for condition in conditions if condition not in step.when))
        )
        if step.id in chosen
        else step
        for step in plan.steps
    )
    return dataclasses.replace(plan, steps=steps)


def filled(plan: Plan, values: Mapping[str, Any]) -> Plan:
    """The plan with the value of every slot, masked ones included."""

    def fill(_step: Step, _name: str, argument: Argument) -> Argument:
        if isinstance(argument, Output):
            return argument
        return dataclasses.replace(argument, value=values[argument.slot])

    return with_arguments(plan, fill)
