"""Post-processing of diffused rows (section 3.5): the seed's format, thoughts that fit calls, defined parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from data_synth.tasks.long_horizon.seeds import Seed, well_formed
from data_synth.tasks.long_horizon.trajectory import REPLY
from data_synth.tasks.tool_augmented.consistency import names

type Rule = Callable[[Mapping[str, Any], Seed, Seed], bool]


def other_format(row: Mapping[str, Any], seed: Seed, parent: Seed) -> bool:
    """The requests aren't the parent's in number and size, or the rounds aren't in order."""
    same = seed.task.structure() == parent.task.structure()
    return not same or not well_formed(row["messages"][1:], seed.trajectory.turns)


def thought_without_tool(row: Mapping[str, Any], seed: Seed, parent: Seed) -> bool:
    """A thought doesn't name the tool that is called."""
    said = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
    for text, turn in zip(said, seed.trajectory.turns, strict=True):
        name = turn["call"]["name"]
        if name != REPLY and not names(text.partition("</think>")[0], name):
            return True
    return False


def undefined_parameter(row: Mapping[str, Any], seed: Seed, parent: Seed) -> bool:
    """A call names a parameter that its tool doesn't have, or lacks one that it needs."""
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in row["tools"]}
    for turn in seed.trajectory.turns:
        call, schema = turn["call"], schemas.get(turn["call"]["name"])
        if schema is None or not set(schema.get("required", ())) <= call["arguments"].keys():
            return True
        if not call["arguments"].keys() <= schema["properties"].keys():
            return True
    return False


RULES: tuple[Rule, ...] = (other_format, thought_without_tool, undefined_parameter)


def broken(row: Mapping[str, Any], seed: Seed, parent: Seed) -> str | None:
    """Name of the first rule that a diffused row breaks; None if it may be kept."""
    return next((rule.__name__ for rule in RULES if rule(row, seed, parent)), None)
