"""Split: what the user wants comes out over several turns (section 3.1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from data_synth.operators.merge import NotApplicable
from data_synth.operators.plan import Condition, Output, Plan, Step, Turn
from data_synth.tools.tool import Tool


def split(plan: Plan, steps: Iterable[int], slots: Iterable[str], tools: Mapping[str, Tool]) -> Plan:
    """The plan whose last turn is cut in two: ``steps`` and ``slots`` are brought up in a turn of their own.

    A slot that only moved steps take moves with them. A moved slot of a step that stays refines it: the step is
    planned again with the new value. Steps are renumbered in the order of the turns.

    Args:
        steps: ids, possibly none.
        slots: of optional parameters of steps that stay, possibly none.

    Raises:
        NotApplicable: a turn would be empty, a step that stays needs one that moves, the branches of a condition
            would be torn apart, or a step that stays can't be called without a moved slot.
    """
    last, later, refining = plan.turns[-1], frozenset(steps), frozenset(slots)
    if not later <= last.steps or not refining <= last.slots:
        raise NotApplicable("not of the last turn")
    staying = last.steps - later
    if not staying or not (later or refining):
        raise NotApplicable("a turn would be empty")
    for number in sorted(staying):
        step = plan.step(number)
        if any(source in later for source, _ in step.sources()):
            raise NotApplicable(f"step {number} needs a step that moves")
        required = tools[step.tool].required
        if any(_slot(step, name) in refining for name in required):
            raise NotApplicable(f"step {number} can't be called without what moves")
    if {_branches(plan.step(n)) for n in staying} & {_branches(plan.step(n)) for n in later} - {frozenset()}:
        raise NotApplicable("the branches of a condition would be torn apart")
    needed = {_slot(plan.step(n), name) for n in staying for name in plan.step(n).arguments}
    moved = frozenset(slot for slot in last.slots if slot not in needed) | refining
    turns = (*plan.turns[:-1], Turn(staying, last.slots - moved), Turn(later, moved))
    changed = dataclasses.replace(plan, turns=turns, operators=(*plan.operators, "split"))
    return in_order_of_turns(changed)


def in_order_of_turns(plan: Plan) -> Plan:
    """The plan with its steps numbered turn by turn, otherwise in their order."""
    order = [number for turn in plan.turns for number in sorted(turn.steps)]
    numbers = {old: new for new, old in enumerate(order, 1)}
    steps = tuple(_renumbered(plan.step(old), numbers) for old in order)
    turns = tuple(Turn(frozenset(numbers[n] for n in turn.steps), turn.slots) for turn in plan.turns)
    return dataclasses.replace(plan, steps=steps, turns=turns)


def _renumbered(step: Step, numbers: Mapping[int, int]) -> Step:
    arguments = {
        name: dataclasses.replace(value, step=numbers[value.step]) if isinstance(value, Output) else value
        for name, value in step.arguments.items()
    }
    when = tuple(dataclasses.replace(condition, step=numbers[condition.step]) for condition in step.when)
    return dataclasses.replace(step, id=numbers[step.id], arguments=arguments, when=when)


def _slot(step: Step, name: str) -> str | None:
    argument = step.arguments.get(name)
    return None if argument is None or isinstance(argument, Output) else argument.slot


def _branches(step: Step) -> frozenset[tuple[int, tuple[str | int, ...]]]:
    """What a step's conditions read."""
    return frozenset((_read(condition)) for condition in step.when)


def _read(condition: Condition) -> tuple[int, tuple[str | int, ...]]:
    return condition.step, condition.path
