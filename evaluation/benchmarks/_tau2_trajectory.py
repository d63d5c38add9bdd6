"""A dialogue of τ²-bench as JSON: what a prediction holds, and the shapes in which others write it down.

A message is a dict of τ²-bench's own fields: ``role`` (assistant, user or tool), ``content``, and ``tool_calls``
({id, name, arguments, requestor}) or, of a tool, ``id``, ``requestor`` and ``error``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ValidationError, field_validator, model_validator

from evaluation.benchmarks import Message

ENDED = ("user_stop", "agent_stop")
"""Dialogues that end otherwise are worth 0."""
CUT = ("max_steps", "too_many_errors", "agent_error", "user_error", "judge_stop")
MAX_DEPTH = 64
"""Of lists and objects within each other; no tool takes more than three."""

type Side = Literal["assistant", "user"]


class UnreadableError(ValueError):
    """No dialogue; the message says what is wrong."""


@dataclass(frozen=True)
class Trajectory:
    """A dialogue.

    Attributes:
        ending: τ²-bench's termination reason.
        judgement: a judge's answer about the task's assertions, where one was asked.
    """

    messages: list[Message]
    ending: str
    judgement: str | None


class _Call(BaseModel):
    """A tool call, also in OpenAI's shape."""

    id: str | None = None
    name: str
    arguments: dict[str, Any]
    requestor: Side | None = None

    @model_validator(mode="before")
    @classmethod
    def _lift_function(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("function"), dict):
            return {**value, **value["function"]}
        return value

    @field_validator("arguments", mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        return parse_object(value) if isinstance(value, str) else value


class _Message(BaseModel):
    role: Literal["assistant", "user", "tool", "system", "developer"]
    content: str | None = None
    tool_calls: list[_Call] | None = None
    id: str | None = None
    tool_call_id: str | None = None
    requestor: Side | None = None
    error: bool = False
    tool_messages: list[_Message] | None = None


class _Recorded(BaseModel):
    messages: list[_Message]
    termination_reason: Literal[*ENDED, *CUT] | None = None  # type: ignore[valid-type]
    judgement: str | None = None


def parse_object(text: str) -> dict[str, Any]:
    """The JSON object that a model wrote as a call's arguments; none at all is an empty one.

    Raises:
        UnreadableError: anything else.
    """
    try:
        value = json.loads(text, parse_constant=_refuse) if text.strip() else {}
    except RecursionError:
        raise UnreadableError("arguments that are nested too deeply") from None
    except ValueError:
        raise UnreadableError("arguments that are no JSON") from None
    if not isinstance(value, dict):
        raise UnreadableError("arguments that are no JSON object")
    cleaned: dict[str, Any] = clean(value)
    return cleaned


def clean(value: Any, depth: int = 0) -> Any:
    """``value`` with halves of surrogate pairs replaced, which the package can't hold.

    Raises:
        UnreadableError: nested too deeply.
    """
    if depth > MAX_DEPTH:
        raise UnreadableError("JSON that is nested too deeply")
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [clean(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {clean(key): clean(item, depth + 1) for key, item in value.items()}
    return value


def read_trajectory(prediction: Any, stops: Sequence[str]) -> Trajectory:
    """The dialogue in a prediction: ours, a simulation of τ²-bench's results, or a list of messages.

    Messages may be in OpenAI's shape; system messages are left out. A text is read as JSON of any of these.
    Where no termination reason is given, the last message must be the user's with one of ``stops`` in it.

    Raises:
        UnreadableError: it is none of these.
    """
    if isinstance(prediction, str):
        prediction = _parse(prediction)
    value = clean(prediction)
    if isinstance(value, list):
        value = {"messages": value}
    try:
        recorded = _Recorded.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][:6])
        raise UnreadableError(f"no dialogue: {where or 'prediction'}: {first['msg']}") from None
    messages = list(_number_calls(recorded.messages))
    ending = recorded.termination_reason or _find_ending(messages, stops)
    return Trajectory(messages, ending, recorded.judgement)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableError("no dialogue: neither messages nor JSON") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _number_calls(messages: Sequence[_Message]) -> Iterator[Message]:
    """Plain messages; calls and results without an id get one, results that of the call they follow."""
    num_calls = 0
    waiting: list[tuple[str, Side]] = []
    for message in messages:
        if message.role == "tool":
            for result in [message] if message.tool_messages is None else message.tool_messages:
                call_id, side = waiting.pop(0) if waiting else ("", "assistant")
                yield {
                    "role": "tool",
                    "id": result.id or result.tool_call_id or call_id,
                    "content": result.content,
                    "requestor": result.requestor or side,
                    "error": result.error,
                }
        elif message.role in ("assistant", "user"):
            plain: Message = {"role": message.role, "content": message.content}
            calls = []
            waiting = []
            for call in message.tool_calls or []:
                num_calls += 1
                call_id, side = call.id or f"call_{num_calls}", call.requestor or message.role
                waiting.append((call_id, side))
                calls.append(
                    {"id": call_id, "name": call.name, "arguments": call.arguments, "requestor": side}
                )
            yield plain | {"tool_calls": calls} if calls else plain


def _find_ending(messages: Sequence[Message], stops: Sequence[str]) -> str:
    last = messages[-1] if messages else {}
    if last.get("role") == "user" and any(stop in (last["content"] or "") for stop in stops):
        return "user_stop"
    raise UnreadableError("the dialogue has no termination reason, and its last message is no user's stop")
