"""The model's draft of a first answer: role ``observation``, with a grammar for the scripted model."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from data_synth.llm.model import AnswerError, Model, ask
from data_synth.llm.scripted import scripted
from data_synth.simulator.conforms import conforms
from data_synth.simulator.values import sample_value
from data_synth.tools.tool import Tool


def draft_answer(
    model: Model, tool: Tool, arguments: Mapping[str, Any], known: Mapping[str, Any], seed: int, language: str
) -> Any:
    """What ``model`` says that the tool answers.

    Args:
        known: fields of the record that the call is about.

    Raises:
        AnswerError: it isn't what the tool's output schema says.
    """
    function = tool.to_openai()["function"]
    draft = ask(
        model,
        "observation",
        tool.output,
        seed,
        language,
        function=function,
        arguments=dict(arguments),
        known=dict(known),
        output=tool.output,
    )
    if not conforms(draft, tool.output):
        raise AnswerError("observation_not_in_schema")
    return draft


@scripted("observation")
def write_observation(variables: Mapping[str, Any], rng: Random) -> Any:
    """A value for every field; the simulator sets right what the dialogue knows better."""
    return _sample(variables["output"], rng, variables["language"])


def _sample(schema: Mapping[str, Any], rng: Random, language: str) -> Any:
    if schema.get("properties"):
        return {name: _sample(inner, rng, language) for name, inner in schema["properties"].items()}
    items = schema.get("items")
    if isinstance(items, Mapping) and items.get("properties"):
        count = max(schema.get("minItems", 0), min(rng.randint(2, 4), schema.get("maxItems", 4)))
        return [_sample(items, rng, language) for _ in range(count)]
    return sample_value(schema, rng, language)
