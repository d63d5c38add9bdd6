"""The roles that put a round into words: what the user says, what the steps say, what the assistant replies."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import data_synth.tasks.decomposition.grammar_query
import data_synth.tasks.decomposition.grammar_reply
import data_synth.tasks.decomposition.grammar_steps  # noqa: F401 - they register the scripted model's grammars
from data_synth.llm.model import AnswerError, Model, ask

_TEXT = {"type": "string", "minLength": 1, "maxLength": 4000}
_STEP_TEXT = {"type": "string", "minLength": 1, "maxLength": 1000}
NUMBERED = re.compile(r"Step\d+\.|</?(?:Plan|Reply|Query)>")
"""What a text must not hold, or the answer's format couldn't be read back."""


def write_query(model: Model, language: str, stream: str, shared: Mapping[str, Any]) -> str:
    """The user's words in a round.

    Raises:
        AnswerError: the answer couldn't be used.
    """
    schema = _object("query", _TEXT)
    return _one_line(ask(model, "query", schema, _seed(stream, "query"), language, **shared)["query"])


def write_steps(model: Model, language: str, stream: str, shared: Mapping[str, Any]) -> list[str]:
    """A text per step that the round plans.

    Raises:
        AnswerError: the answer couldn't be used, or has another number of steps.
    """
    number = len(shared["round"].steps)
    if number == 0:
        return []
    schema = _object("steps", {"type": "array", "items": _STEP_TEXT, "minItems": number, "maxItems": number})
    answer = ask(model, "steps", schema, _seed(stream, "steps"), language, **shared)
    return [_one_line(text) for text in answer["steps"]]


def write_reply(model: Model, language: str, stream: str, shared: Mapping[str, Any]) -> str:
    """The assistant's words to the user in a round.

    Raises:
        AnswerError: the answer couldn't be used.
    """
    schema = _object("reply", _TEXT)
    return _one_line(ask(model, "reply", schema, _seed(stream, "reply"), language, **shared)["reply"])


def _object(key: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {key: schema}, "required": [key], "additionalProperties": False}


def _one_line(text: str) -> str:
    """The text on one line.

    Raises:
        AnswerError: it is empty, or holds marks of the answer's format.
    """
    line = " ".join(text.split())
    if not line:
        raise AnswerError("empty_text")
    if found := NUMBERED.search(line):
        raise AnswerError("format_marks", found[0])
    return line


def _seed(stream: str, role: str) -> int:
    return int(hashlib.sha256(f"{stream}/{role}".encode()).hexdigest()[:7], 16)
