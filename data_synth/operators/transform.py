"""Transform: whether a step runs depends on what an earlier one answered (section 3.1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from data_synth.operators.merge import NotApplicable, descendants, with_conditions
from data_synth.operators.plan import Condition, Plan
from data_synth.operators.schema import schema_at
from data_synth.tools.tool import Tool


def transform(
    plan: Plan,
    condition: Condition,
    then: Iterable[int],
    otherwise: Iterable[int],
    tools: Mapping[str, Tool],
) -> Plan:
    """The plan where ``then`` runs if ``condition`` holds, and ``otherwise`` if it doesn't.

    What depends on a conditional step is conditional with it.

    Args:
        then: ids of steps, at least one.
        otherwise: ids of steps, or none: then nothing is done instead.

    Raises:
        NotApplicable: the condition can't be both true and false under the output's schema, a branch holds a step
            that the condition waits for, that another condition guards, or that the other branch needs.
    """
    if not 1 <= condition.step <= len(plan.steps):
        raise NotApplicable("the condition reads no step")
    source = plan.step(condition.step)
    schema = schema_at(tools[source.tool].output, condition.path)
    if schema is None or outcomes(schema, condition) != {True, False}:
        raise NotApplicable("only one branch can be reached")
    if source.when:
        raise NotApplicable("the condition reads a conditional step")
    yes, no = descendants(plan, then), descendants(plan, otherwise)
    if not yes:
        raise NotApplicable("no step to run")
    if yes & no:
        raise NotApplicable("a step is in both branches")
    if any(number <= source.id for number in yes | no):
        raise NotApplicable("a branch begins before its condition is known")
    if any(plan.step(number).when for number in yes | no):
        raise NotApplicable("a step is conditional already")
    changed = with_conditions(plan, yes, (condition,))
    changed = with_conditions(changed, no, (condition.negated(),))
    return dataclasses.replace(changed, operators=(*plan.operators, "transform"))


def outcomes(schema: Mapping[str, Any], condition: Condition) -> set[bool]:
    """What ``condition`` can be over the values that ``schema`` admits; empty where it has no meaning."""
    return {condition.holds(value) for value in _witnesses(schema, condition)}


def _witnesses(schema: Mapping[str, Any], condition: Condition) -> list[Any]:
    """Values that the schema admits; among them one for each outcome that there is."""
    kind, value = schema.get("type"), condition.value
    about_emptiness = condition.comparison in ("is_empty", "not_empty")
    if kind == "array":
        if not about_emptiness:
            return []
        shortest, longest = schema.get("minItems", 0), schema.get("maxItems", 1)
        return ([[]] if shortest == 0 else []) + ([[0]] if longest > 0 else [])
    if about_emptiness:
        return []
    if "enum" in schema:
        return list(schema["enum"]) if condition.comparison in ("==", "!=") else []
    if kind == "boolean":
        return [True, False] if isinstance(value, bool) else []
    if kind in ("integer", "number") and isinstance(value, int | float) and not isinstance(value, bool):
        return _numbers(schema, value)
    return []


def _numbers(schema: Mapping[str, Any], value: float) -> list[float]:
    step = 1 if schema.get("type") == "integer" else abs(value) * 1e-6 or 1e-6
    low, high = schema.get("minimum", float("-inf")), schema.get("maximum", float("inf"))
    below = schema.get("exclusiveMinimum", float("-inf"))
    above = schema.get("exclusiveMaximum", float("inf"))
    near = (value - step, value, value + step)
    return [number for number in near if low <= number <= high and below < number < above]
