"""Concatenate: the result of one plan is what the next one needs (section 3.1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from data_synth.operators.atoms import check_link
from data_synth.operators.merge import (
    NotApplicable,
    descendants,
    side_by_side,
    with_conditions,
    without_unused_slots,
)
from data_synth.operators.plan import Output, Plan
from data_synth.operators.schema import Path
from data_synth.tools.tool import Tool


@dataclass(frozen=True, slots=True)
class Link:
    """Step ``source`` of the first plan answers at ``path`` what ``parameter`` of the second's ``target`` takes."""

    source: int
    path: Path
    target: int
    parameter: str


def concatenate(first: Plan, second: Plan, link: Link, tools: Mapping[str, Tool]) -> Plan:
    """``second`` after ``first``, joined by one data edge; two chains give a chain.

    Steps of ``second`` run only where the step they are linked to does.

    Raises:
        NotApplicable: the link doesn't lead from a step without dependents to one without sources, its types
            differ, the argument isn't the user's, or one tool is in both.
    """
    if not (1 <= link.source <= len(first.steps) and 1 <= link.target <= len(second.steps)):
        raise NotApplicable("the link joins no steps")
    if shared := {s.tool for s in first.steps} & {s.tool for s in second.steps}:
        raise NotApplicable(f"{min(shared)} is in both")
    if any(edge.source == link.source for edge in first.edges()):
        raise NotApplicable("the source has dependents")
    target = second.step(link.target)
    if any(target.sources()):
        raise NotApplicable("the target has sources")
    source = first.step(link.source)
    check_link(tools[source.tool], link.path, tools[target.tool], link.parameter)
    if target.arguments.get(link.parameter) is None:
        raise NotApplicable(f"the target doesn't take {link.parameter}")
    plan = side_by_side(first, second, "concatenate")
    number = link.target + len(first.steps)
    joined = plan.step(number)
    arguments = {**joined.arguments, link.parameter: Output(link.source, link.path)}
    steps = list(plan.steps)
    steps[number - 1] = dataclasses.replace(joined, arguments=arguments)
    plan = without_unused_slots(dataclasses.replace(plan, steps=tuple(steps)))
    return with_conditions(plan, descendants(plan, [number]), source.when)
