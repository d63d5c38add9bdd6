"""The loop of model and tools: ask, run the calls of the answer, give their results back, ask again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from evaluation import tool_text
from evaluation.benchmarks import Message
from evaluation.client import RequestFailedError
from evaluation.demo.events import Event, Events
from evaluation.demo.splitter import Part, Splitter
from evaluation.demo.stream import Said, StreamClient
from evaluation.demo.toolbox import Toolbox, ToolError, read_arguments
from recipes.command import InputError

type ToolFormat = Literal["native", "prompt"]


@dataclass(frozen=True)
class Loop:
    """``loop`` of ``recipes/demo.yaml``."""

    max_turns: int
    max_calls: int
    max_result_characters: int

    def __post_init__(self) -> None:
        for key in ("max_turns", "max_calls", "max_result_characters"):
            if getattr(self, key) < 1:
                raise InputError(f"loop.{key}={getattr(self, key)}: too small; give 1 or more")


@dataclass(frozen=True)
class _Call:
    """A call to run. ``problem``: why it can't be, for the model; ``id`` of a native one."""

    name: str
    arguments: str
    id: str = ""
    problem: str | None = None


@dataclass(frozen=True)
class _Turn:
    """One answer: its visible text, its calls, and the message that the history keeps of it."""

    text: str
    calls: list[_Call]
    message: Message


class Agent:
    """A model with a system message and tools. It keeps nothing between replies."""

    def __init__(
        self, client: StreamClient, system: str, toolbox: Toolbox, tool_format: ToolFormat, loop: Loop
    ) -> None:
        self._client = client
        self._toolbox = toolbox
        self._is_native = tool_format == "native"
        self._loop = loop
        schemas = toolbox.schemas
        self._tools = schemas if self._is_native else []
        self._system = tool_text.system_text(system, schemas) if schemas and not self._is_native else system

    def reply(self, history: list[Message]) -> Events[str]:
        """See ``Answering.reply``. Ends with a notice after ``max_turns`` answers that all called tools."""
        for _ in range(self._loop.max_turns):
            turn = yield from self._ask(history)
            history.append(turn.message)
            if not turn.calls:
                return turn.text
            yield from self._run(turn.calls, history)
        notice = f"stopped after {self._loop.max_turns} turns (loop.max_turns)"
        history.append({"role": "assistant", "content": f"({notice})"})
        yield Event("notice", notice, ok=False)
        return ""

    def _ask(self, history: list[Message]) -> Events[_Turn]:
        splitter = Splitter(calls=not self._is_native)
        parts: list[tuple[Part, str]] = []
        try:
            pieces = self._client.ask([{"role": "system", "content": self._system}, *history], self._tools)
            said = yield from _listen(pieces, splitter, parts)
        except RequestFailedError as error:
            if "tool" in str(error) and error.fault == "sample" and self._is_native:
                hint = "does the server parse tool calls? tool_format=prompt works without"
                raise RequestFailedError(f"{error}; {hint}", error.fault) from None
            raise
        text = "".join(part for kind, part in parts if kind == "text").strip()
        turn = _native_turn(said, text) if self._is_native else _text_turn(parts, text)
        if said.finish_reason == "length":
            yield Event("notice", "cut off at generation.max_tokens", ok=False)
        elif not text and not turn.calls:
            yield Event("notice", "the model said nothing", ok=False)
        return turn

    def _run(self, calls: list[_Call], history: list[Message]) -> Events[None]:
        results = []
        for number, call in enumerate(calls):
            yield Event("call", call.arguments, call.name)
            if call.problem:
                result, ok = f"error: {call.problem}", False
            elif number >= self._loop.max_calls:
                result, ok = f"error: not run: more than {self._loop.max_calls} calls in one turn", False
            else:
                result, ok = self._toolbox.run(call.name, call.arguments)
            yield Event("result", result, call.name, ok)
            results.append(result)
        if self._is_native:
            history += [
                {"role": "tool", "tool_call_id": call.id, "content": result}
                for call, result in zip(calls, results, strict=True)
            ]
        else:
            history.append({"role": "user", "content": tool_text.responses_text(results)})


def _listen(pieces: Any, splitter: Splitter, parts: list[tuple[Part, str]]) -> Events[Said]:
    """Pass texts on as they come, and note all parts of the answer in ``parts``."""

    def show(found: list[tuple[Part, str]]) -> Events[None]:
        parts.extend(found)
        for kind, text in found:
            if kind == "text" or kind == "thinking":
                yield Event(kind, text)

    while True:
        try:
            piece = next(pieces)
        except StopIteration as stop:
            yield from show(splitter.end())
            said: Said = stop.value
            return said
        if piece.kind == "thinking":
            yield Event("thinking", piece.text)
        else:
            yield from show(splitter.feed(piece.text))


def _native_turn(said: Said, text: str) -> _Turn:
    """Servers read the arguments of earlier calls, so that none that aren't JSON may go back to them."""
    calls = []
    for number, call in enumerate(said.calls):
        call_id, problem = call.id or f"call_{number}", None
        try:
            read_arguments(call.arguments)
        except ToolError as error:
            problem = str(error)
        calls.append(_Call(call.name, call.arguments, call_id, problem))
    message: Message = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": "{}" if call.problem or not call.arguments.strip() else call.arguments,
                },
            }
            for call in calls
        ]
    return _Turn(text, calls, message)


def _text_turn(parts: list[tuple[Part, str]], text: str) -> _Turn:
    """The calls between Qwen3's tags; one that is cut off or can't be read is a call with a problem."""
    calls, content = [], []
    for kind, part in parts:
        if kind == "text":
            content.append(part)
        elif kind == "call":
            content.append(f"<tool_call>{part}</tool_call>")
            try:
                calls.append(_Call(*tool_text.read_call(part)))
            except ValueError as error:
                calls.append(_Call("(unreadable)", part.strip(), problem=str(error)))
        elif kind == "cut call":
            content.append(f"<tool_call>{part}</tool_call>")
            calls.append(_Call("(cut off)", part.strip(), problem="the call was cut off before </tool_call>"))
    return _Turn(text, calls, {"role": "assistant", "content": "".join(content).strip()})
