"""What a pipeline asks of a model, whichever it is: one request, one answer as text.

Tasks never speak to an endpoint. They ask for a *role* (``query``, ``reasoning``, ``judge`` …): the role's template in
``data_synth/prompts`` is rendered with the variables, and the answer is parsed against the role's JSON schema. The
scripted model reads the variables instead of the prompt, and answers in the same format.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Protocol

import jinja2
import jsonschema

BETWEEN_MESSAGES = "\0---\0"
"""Stands for a template's lines ``---`` while it is rendered: a variable may hold such a line too."""
TEXT_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 4000}
"""Of some sentences."""


class AnswerError(Exception):
    """The answer can't be used: the attempt at the row is rejected with ``reason``, a word, and tried anew."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)  # so that it survives pickling
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


@dataclass(frozen=True)
class Request:
    """One call.

    Attributes:
        role: what is asked for; names the prompt and the scripted model's grammar.
        messages: the rendered prompt, OpenAI chat.
        schema: JSON schema of the answer.
        variables: what the prompt was rendered from. Only the scripted model reads them.
        seed: another one gives another answer; it is part of the request.
    """

    role: str
    messages: tuple[Mapping[str, str], ...]
    schema: Mapping[str, Any]
    variables: Mapping[str, Any]
    seed: int


class Model(Protocol):
    """Anything that answers requests, from any thread."""

    @property
    def name(self) -> str:
        """For ``meta`` and the manifest."""

    def complete(self, request: Request) -> str:
        """The answer's text.

        Raises:
            AnswerError: the endpoint answered, but not with a text.
            InputError: it can't be reached, refuses the key, or the budget is spent; the run stops.
        """

    def usage(self) -> dict[str, Any]:
        """What was asked and what it cost, for the manifest: ``model`` and, of an endpoint, counts of requests and
        tokens, paid and cached apart, and ``cost``."""


def ask(
    model: Model, role: str, schema: Mapping[str, Any], seed: int, language: str, **variables: Any
) -> Any:
    """The parsed answer of ``model`` to ``prompts/<role>.j2``.

    Args:
        schema: of the answer; every object in it should forbid additional properties.
        language: ``en`` or ``zh``; the template sees it, as ``language``.

    Raises:
        AnswerError: the answer is no JSON, or isn't what ``schema`` says.
        InputError: as ``Model.complete``.
    """
    variables["language"] = language
    text = _template(role).render(**variables, schema=json.dumps(schema, ensure_ascii=False))
    system, _, user = text.partition(BETWEEN_MESSAGES)
    user = user.replace(BETWEEN_MESSAGES, "---").strip()
    messages = ({"role": "system", "content": system.strip()}, {"role": "user", "content": user})
    answer = model.complete(Request(role, messages, schema, variables, seed))
    return parse_answer(answer, schema)


def parse_answer(text: str, schema: Mapping[str, Any]) -> Any:
    """The JSON value in ``text``, which may stand in a code fence or after reasoning in ``<think>``.

    Raises:
        AnswerError: there is none, it isn't what ``schema`` says, or no file could hold it (NaN, half a character).
    """
    body = text.rpartition("</think>")[2].strip()
    if "```" in body and not body.startswith(("{", "[", '"')):
        body = body.partition("```")[2].partition("\n")[2].rpartition("```")[0]
    try:
        value = json.loads(body)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise AnswerError("answer_not_json", str(error)[:500]) from None
    try:
        _validator(json.dumps(schema, sort_keys=True)).validate(value)
    except jsonschema.ValidationError as error:
        raise AnswerError("answer_not_in_schema", error.message[:500]) from None
    except RecursionError:
        raise AnswerError("answer_not_in_schema", "nested too deep") from None
    return value


def object_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    """JSON schema of an answer that has ``properties``, name to schema, and nothing else."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def one_line(text: str, marks: re.Pattern[str]) -> str:
    """A text of an answer on one line.

    Args:
        marks: what it must not hold, or the format of the row it goes into couldn't be read back.

    Raises:
        AnswerError: it is empty, or holds a mark.
    """
    line = " ".join(text.split())
    if not line:
        raise AnswerError("empty_text")
    if found := marks.search(line):
        raise AnswerError("format_marks", found[0])
    return line


def request_seed(stream: str, role: str) -> int:
    """The seed of a request, from the names of its row and its role."""
    return int(hashlib.sha256(f"{stream}/{role}".encode()).hexdigest()[:7], 16)


@lru_cache(maxsize=512)
def _validator(schema: str) -> Any:
    return jsonschema.Draft202012Validator(json.loads(schema))


@cache
def _template(role: str) -> jinja2.Template:
    """``prompts/<role>.j2``: the system prompt, a line ``---``, the user's message."""
    text = resources.files("data_synth").joinpath("prompts", f"{role}.j2").read_text("utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(text.replace("\n---\n", f"\n{BETWEEN_MESSAGES}\n"))
