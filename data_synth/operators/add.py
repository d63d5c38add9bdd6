"""Add: two plans that have nothing to do with each other, in one request (section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping

from data_synth.operators.merge import NotApplicable, side_by_side
from data_synth.operators.plan import Output, Plan
from data_synth.operators.schema import kind_of, parameter_schema
from data_synth.tools.graphs import ToolGraphs
from data_synth.tools.tool import Tool


def add(first: Plan, second: Plan, tools: Mapping[str, Tool], graphs: ToolGraphs) -> Plan:
    """Both plans side by side; no edge and no slot joins them.

    Raises:
        NotApplicable: a tool is in both, one's output could feed the other, or the user gives both a value of one
            kind.
    """
    for a in first.steps:
        for b in second.steps:
            if a.tool == b.tool:
                raise NotApplicable(f"{a.tool} is in both")
            if graphs.dependency.has_edge(a.tool, b.tool) or graphs.dependency.has_edge(b.tool, a.tool):
                raise NotApplicable(f"{a.tool} and {b.tool} depend on each other")
    if shared := given_kinds(first, tools) & given_kinds(second, tools):
        raise NotApplicable(f"both are given a {min(shared)}")
    return side_by_side(first, second, "add")


def given_kinds(plan: Plan, tools: Mapping[str, Tool]) -> set[str]:
    """The kinds of what the user gives, masked values included."""
    schemas = (
        parameter_schema(tools[step.tool], name)
        for step in plan.steps
        for name, argument in step.arguments.items()
        if not isinstance(argument, Output)
    )
    return {kind for schema in schemas if (kind := kind_of(schema)) is not None}
