"""What a round's roles are told about its steps: plain data for the prompts, phrases for the grammars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from data_synth.operators.plan import Condition, Given, Output, Plan
from data_synth.operators.schema import parameter_schema, schema_at
from data_synth.tasks.decomposition.blueprint import Round
from data_synth.tools.tool import Tool

Origin = Literal["said", "known", "step", "masked"]


@dataclass(frozen=True, slots=True)
class ArgumentView:
    """An argument as it looks in one round.

    Attributes:
        origin: the user says it in this round (``said``), has said it before (``known``), an earlier step answers it
            (``step``), or the user doesn't say it (``masked``).
        value: where it is ``said`` or ``known``.
        source: id of the step that answers it, of ``source_tool``.
        source_number: its number in this round's plan; None if it was planned in an earlier round.
        source_record: id of what that step is about, where the user said it.
    """

    name: str
    origin: Origin
    slot: str
    schema: Mapping[str, Any]
    value: Any = None
    source: int = 0
    source_tool: Tool | None = None
    source_number: int | None = None
    source_record: str = ""
    field: str = ""


@dataclass(frozen=True, slots=True)
class ConditionView:
    """A condition as it looks in one round; ``negates`` an earlier step's condition where it is the other case."""

    condition: Condition
    tool: Tool
    schema: Mapping[str, Any]
    field: str
    source_number: int | None
    negates: bool


@dataclass(frozen=True, slots=True)
class StepView:
    """A step as it looks in one round.

    Attributes:
        number: in this round's plan, from 1; None if the round asks for it without being able to plan it yet.
        new: whether the user brings it up in this round.
    """

    id: int
    number: int | None
    tool: Tool
    arguments: tuple[ArgumentView, ...]
    conditions: tuple[ConditionView, ...]
    atom: int
    new: bool


def step_views(plan: Plan, round_: Round, tools: Mapping[str, Tool]) -> list[StepView]:
    """Every step that the round is about: planned in it, or asked for and waiting for a masked value."""
    planned = {step.id: step for step in round_.steps}
    numbers = {number: place for place, number in enumerate(planned, 1)}
    turn = plan.turns[round_.turn]
    about = sorted({*planned, *(turn.steps if round_.kind == "request" else ())})
    earlier = {slot for before in plan.turns[: round_.turn] for slot in before.slots}
    views = []
    for identifier in about:
        step, tool = plan.step(identifier), tools[plan.step(identifier).tool]
        arguments = []
        for name, argument in step.arguments.items():
            schema = parameter_schema(tool, name)
            if isinstance(argument, Output):
                arguments.append(_from_step(name, argument, schema, plan, tools, numbers))
            elif argument.slot in round_.slots:
                arguments.append(ArgumentView(name, "said", argument.slot, schema, argument.value))
            elif argument.slot in round_.asks:
                arguments.append(ArgumentView(name, "masked", argument.slot, schema))
            elif argument.slot in earlier or _was_planned(round_, identifier, name):
                arguments.append(ArgumentView(name, "known", argument.slot, schema, argument.value))
        conditions = tuple(_condition(plan, step.id, c, tools, numbers) for c in step.when)
        new = round_.kind == "request" and identifier in turn.steps
        views.append(
            StepView(identifier, numbers.get(identifier), tool, tuple(arguments), conditions, step.atom, new)
        )
    return views


def _was_planned(round_: Round, identifier: int, name: str) -> bool:
    return any(step.id == identifier and isinstance(step.arguments.get(name), Given) for step in round_.steps)


def _from_step(
    name: str,
    argument: Output,
    schema: Mapping[str, Any],
    plan: Plan,
    tools: Mapping[str, Tool],
    numbers: Mapping[int, int],
) -> ArgumentView:
    field = ".".join(str(part) for part in argument.path)
    source = plan.step(argument.step)
    tool = tools[source.tool]
    about = source.arguments.get(str(tool.hints.get("effect", {}).get("id", "")))
    return ArgumentView(
        name,
        "step",
        "",
        schema,
        source=argument.step,
        source_tool=tool,
        source_number=numbers.get(argument.step),
        source_record=str(about.value) if isinstance(about, Given) else "",
        field=field,
    )


def _condition(
    plan: Plan, identifier: int, condition: Condition, tools: Mapping[str, Tool], numbers: Mapping[int, int]
) -> ConditionView:
    tool = tools[plan.step(condition.step).tool]
    opposite = condition.negated()
    negates = any(opposite in step.when for step in plan.steps[: identifier - 1])
    return ConditionView(
        condition,
        tool,
        schema_at(tool.output, condition.path) or {},
        ".".join(str(part) for part in condition.path),
        numbers.get(condition.step),
        negates,
    )
