"""What makes a combination of tools one that somebody would ask for; the graphs say only what fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from data_synth.operators.plan import Given, Masked, Output, Plan, Step
from data_synth.operators.schema import is_free_text, is_identifier, kind_of, parameter_schema
from data_synth.tasks.decomposition.values import equal_slots
from data_synth.tools.graphs import ToolGraphs
from data_synth.tools.tool import Tool

LINK_WEIGHTS = {"date": 0.3, "time": 0.3}
"""Half of all tools take a date; links by one are drawn less often than the others, those by an id more often."""
IDENTIFIER_WEIGHT = 4.0


def link_weight(source: Tool, target: Tool, parameter: str, graphs: ToolGraphs) -> float:
    """How often a dependency is drawn, relative to others; 0 where nobody would ask for it."""
    schema = parameter_schema(target, parameter)
    if schema.get("type") != "string" or "enum" in schema or is_free_text(parameter, schema):
        return 0.0
    if is_identifier(schema, parameter):
        return 0.0 if (_action(source), _action(target)) == ("create", "delete") else IDENTIFIER_WEIGHT
    score = float(graphs.dependency.edges[source.name, target.name]["score"])
    return score * LINK_WEIGHTS.get(str(kind_of(schema)), 1.0)


def contradiction(plan: Plan, tools: Mapping[str, Tool], graphs: ToolGraphs) -> str | None:
    """Two steps that make no sense for one thing: what is made or changed is deleted, what is deleted is used."""
    twins = equal_slots(plan, tools, graphs)
    things = {step.id: set(_things(step, tools[step.tool], twins)) for step in plan.steps}
    for before in plan.steps:
        for after in plan.steps[before.id :]:
            made = ("made", before.id) in things[after.id]
            if not made and not things[before.id] & things[after.id]:
                continue
            first, second = _action(tools[before.tool]), _action(tools[after.tool])
            if first == "delete" or (first in ("create", "update") and second == "delete"):
                return f"{before.tool}, then {after.tool}"
    return None


def _action(tool: Tool) -> str:
    return str(tool.hints.get("effect", {}).get("action", ""))


def _things(step: Step, tool: Tool, twins: Mapping[str, str]) -> Iterator[tuple[Any, ...]]:
    """What a step is about, by the ids that it takes."""
    for name, argument in step.arguments.items():
        if not is_identifier(parameter_schema(tool, name), name):
            continue
        match argument:
            case Given(_, slot) | Masked(_, slot):
                yield "slot", twins.get(slot, slot)
            case Output(source, path):
                yield "answer", source, path
                yield "made", source
