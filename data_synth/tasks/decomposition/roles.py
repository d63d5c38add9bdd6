"""The roles that put a round into words: what the user says, what the steps say, what the assistant replies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import data_synth.tasks.decomposition.grammar_query
import data_synth.tasks.decomposition.grammar_reply
import data_synth.tasks.decomposition.grammar_steps  # noqa: F401 - they register the scripted model's grammars
from data_synth.llm.model import TEXT_SCHEMA, Model, ask, object_schema, one_line, request_seed

_STEP_TEXT = TEXT_SCHEMA | {"maxLength": 1000}
NUMBERED = re.compile(r"Step\d+\.|</?(?:Plan|Reply|Query)>")
"""What a text must not hold, or the answer's format couldn't be read back."""


def write_query(model: Model, language: str, stream: str, shared: Mapping[str, Any]) -> str:
    """The user's words in a round.

    Raises:
        AnswerError: the answer couldn't be used.
    """
    return one_line(_ask(model, "query", TEXT_SCHEMA, language, stream, shared), NUMBERED)


def write_steps(model: Model, language: str, stream: str, shared: Mapping[str, Any]) -> list[str]:
    """A text per step that the round plans.

    Raises:
        AnswerError: the answer couldn't be used, or has another number of steps.
    """
    number = len(shared["round"].steps)
    if number == 0:
        return []
    schema = {"type": "array", "items": _STEP_TEXT, "minItems": number, "maxItems": number}
    return [one_line(text, NUMBERED) for text in _ask(model, "steps", schema, language, stream, shared)]


def write_reply(model: Model, language: str, stream: str, shared: Mapping[str, Any]) -> str:
    """The assistant's words to the user in a round.

    Raises:
        AnswerError: the answer couldn't be used.
    """
    return one_line(_ask(model, "reply", TEXT_SCHEMA, language, stream, shared), NUMBERED)


def _ask(
    model: Model,
    role: str,
    schema: Mapping[str, Any],
    language: str,
    stream: str,
    shared: Mapping[str, Any],
) -> Any:
    """The one property of the role's answer, which bears the role's name."""
    seed = request_seed(stream, role)
    return ask(model, role, object_schema({role: schema}), seed, language, **shared)[role]
