"""Mask: the user forgets a value that a call can't do without (section 3.1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from data_synth.operators.merge import NotApplicable, with_arguments
from data_synth.operators.plan import Argument, Given, Masked, Plan, Step
from data_synth.tools.tool import Tool


def mask(plan: Plan, slot: str, tools: Mapping[str, Tool]) -> Plan:
    """The plan whose user keeps the value of ``slot`` back until asked.

    Raises:
        NotApplicable: the user doesn't say that slot, or no call requires it.
    """
    if slot not in plan.slots():
        raise NotApplicable(f"the user doesn't say {slot}")
    if not any(
        isinstance(argument, Given) and argument.slot == slot and name in tools[step.tool].required
        for step in plan.steps
        for name, argument in step.arguments.items()
    ):
        raise NotApplicable(f"no call requires {slot}")

    def hide(_step: Step, _name: str, argument: Argument) -> Argument:
        if isinstance(argument, Given) and argument.slot == slot:
            return Masked(argument.value, slot)
        return argument

    masked = with_arguments(plan, hide)
    return dataclasses.replace(masked, operators=(*plan.operators, "mask"))
