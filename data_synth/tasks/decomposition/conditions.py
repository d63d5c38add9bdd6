"""Conditions on what a tool answers: an enumeration, a flag, a number, or whether a list holds anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from data_synth.operators.merge import NotApplicable
from data_synth.operators.plan import Comparison, Condition, Step
from data_synth.operators.schema import Path, fields
from data_synth.operators.transform import outcomes
from data_synth.simulator.values import sample_value
from data_synth.tools.tool import Tool

ORDERS: tuple[Comparison, ...] = ("<", "<=", ">", ">=")
NUM_DRAWS = 8


def draw_condition(step: Step, tool: Tool, rng: Random) -> Condition:
    """A condition on ``step``'s answer that can be true and false.

    Raises:
        NotApplicable: the answer has nothing to test.
    """
    found = list(_testable(step, tool))
    if not found:
        raise NotApplicable(f"nothing to test in the answer of {tool.name}")
    path, schema = rng.choice(found)
    return _condition(step, path, schema, rng)


def _testable(step: Step, tool: Tool) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """What the answer says beyond what it was asked."""
    for path, schema in fields(tool.output):
        if path[-1] in step.arguments:
            continue
        kind = schema.get("type")
        testable = (
            (kind == "array" and not schema.get("minItems"))
            or kind in ("boolean", "integer", "number")
            or len(schema.get("enum", ())) > 1
        )
        if testable and (path[-1] != "success" or len(path) > 1):
            yield path, schema


def _condition(step: Step, path: Path, schema: Mapping[str, Any], rng: Random) -> Condition:
    if schema["type"] == "array":
        return Condition(step.id, path, "not_empty")
    if schema["type"] == "boolean":
        return Condition(step.id, path, "==", True)
    if "enum" in schema:
        return Condition(step.id, path, "==", rng.choice(list(schema["enum"])))
    for _ in range(NUM_DRAWS):
        try:
            value = sample_value(schema, rng, name=str(path[-1]))
        except ValueError as error:
            raise NotApplicable(str(error)) from None
        condition = Condition(step.id, path, rng.choice(ORDERS), value)
        if outcomes(schema, condition) == {True, False}:
            return condition
    raise NotApplicable(f"no threshold divides {path[-1]}")
