"""The values that a plan's user gives: the role ``arguments`` names them, the tools' schemas check them."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from data_synth.llm.model import AnswerError, Model, ask
from data_synth.llm.scripted import scripted
from data_synth.operators.group import shared_parameters
from data_synth.operators.merge import filled
from data_synth.operators.plan import Output, Plan
from data_synth.operators.schema import is_reusable, is_valid, parameter_schema, same_space
from data_synth.simulator.values import sample_arguments
from data_synth.tools.graphs import ToolGraphs
from data_synth.tools.tool import Tool

NUM_DRAWS = 5
"""Of a step's values, until none repeats another step's."""


def give_values(
    plan: Plan, tools: Mapping[str, Tool], graphs: ToolGraphs, model: Model, seed: int, language: str
) -> Plan:
    """The plan with a value for every slot, each valid wherever it is used.

    Raises:
        AnswerError: the model left one out, or gave one that a tool doesn't take.
    """
    twins = equal_slots(plan, tools, graphs)
    wanted = _wanted(plan, tools, twins)
    values: dict[str, Any] = {}
    if wanted:
        answer = ask(
            model,
            "arguments",
            _answer_schema(wanted),
            seed,
            language,
            slots=wanted,
            tools=[tools[name] for name in dict.fromkeys(step.tool for step in plan.steps)],
        )
        values = dict(answer)
    for slot, twin in twins.items():
        values[slot] = values[twin]
    for step in plan.steps:
        for name, argument in step.arguments.items():
            if isinstance(argument, Output):
                continue
            schema = parameter_schema(tools[step.tool], name)
            if not is_valid(values[argument.slot], schema):
                raise AnswerError("invalid_argument", f"{step.tool}.{name}={values[argument.slot]!r}")
    return filled(plan, values)


def equal_slots(plan: Plan, tools: Mapping[str, Tool], graphs: ToolGraphs) -> dict[str, str]:
    """Slot to an earlier slot with the same value: what the steps of a parallel atomic plan share."""
    twins: dict[str, str] = {}
    for a in plan.steps:
        for b in plan.steps[a.id :]:
            if a.atom != b.atom or any(source == a.id for source, _ in b.sources()):
                continue
            for name, other, _ in shared_parameters(a.tool, b.tool, graphs):
                mine, yours = a.arguments.get(name), b.arguments.get(other)
                if mine is None or yours is None or isinstance(mine, Output) or isinstance(yours, Output):
                    continue
                schemas = parameter_schema(tools[a.tool], name), parameter_schema(tools[b.tool], other)
                free = mine.slot not in twins.values() and yours.slot not in twins
                if (
                    free
                    and mine.slot != yours.slot
                    and same_space(*schemas)
                    and is_reusable(name, schemas[0])
                ):
                    twins[yours.slot] = twins.get(mine.slot, mine.slot)
    return twins


def _wanted(plan: Plan, tools: Mapping[str, Tool], twins: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Slot to where its value goes first: step, tool, parameter and schema."""
    wanted: dict[str, dict[str, Any]] = {}
    for step in plan.steps:
        for name, argument in step.arguments.items():
            if isinstance(argument, Output) or argument.slot in twins or argument.slot in wanted:
                continue
            wanted[argument.slot] = {
                "step": step.id,
                "tool": step.tool,
                "parameter": name,
                "schema": parameter_schema(tools[step.tool], name),
            }
    return wanted


def _answer_schema(wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {slot: where["schema"] for slot, where in wanted.items()},
        "required": list(wanted),
        "additionalProperties": False,
    }


@scripted("arguments")
def draw_values(variables: Mapping[str, Any], rng: Random) -> dict[str, Any]:
    """Values from the simulator's vocabulary, those of one step sensible together."""
    tools = {tool.name: tool for tool in variables["tools"]}
    by_step: dict[int, dict[str, str]] = {}
    for slot, where in variables["slots"].items():
        by_step.setdefault(where["step"], {})[where["parameter"]] = slot
    values: dict[str, Any] = {}
    for slots in by_step.values():
        tool = tools[variables["slots"][next(iter(slots.values()))]["tool"]]
        for _ in range(NUM_DRAWS):
            try:
                drawn = sample_arguments(tool, slots, rng, variables["language"])
            except ValueError as error:
                raise AnswerError("no_value", f"{tool.name}: {error}") from None
            texts = [value for name, value in drawn.items() if "enum" not in tool.properties[name]]
            if not any(isinstance(value, str) and value in values.values() for value in texts):
                break
        values |= {slots[name]: value for name, value in drawn.items()}
    return values
