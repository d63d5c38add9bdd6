"""A chat completion as it is written: server-sent events of an OpenAI-compatible endpoint."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from evaluation.address import below, check_address, without_key
from evaluation.benchmarks import Message
from evaluation.client import RETRIED_STATUS, Generation, RequestFailedError
from recipes.command import InputError

MAX_EVENT_BYTES = 1 << 20
MAX_CALLS = 256
"""Far more than any answer holds; a server that sends more is broken."""


@dataclass(frozen=True)
class Server:
    """``endpoint`` of ``recipes/demo.yaml``; times in seconds."""

    base_url: str
    model: str
    timeout_s: float
    max_retries: int
    backoff_s: float
    api_key_env: str | None

    def __post_init__(self) -> None:
        check_address("endpoint", self.base_url, self.timeout_s, self.api_key_env)
        for key, value in (("max_retries", self.max_retries), ("backoff_s", self.backoff_s)):
            if value < 0:
                raise InputError(f"endpoint.{key}={value}: too small; give 0 or more")


@dataclass(frozen=True)
class Piece:
    """Text as it arrives: what the server marks as reasoning, or content."""

    kind: Literal["thinking", "content"]
    text: str


@dataclass(frozen=True)
class NativeCall:
    """A function call of the answer; ``arguments`` as the model wrote them, unparsed."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Said:
    """A whole answer: its content, tags and all, and its function calls."""

    content: str
    calls: tuple[NativeCall, ...]
    finish_reason: str | None


class _TryAgainError(Exception):
    """Nothing of the answer arrived, and another attempt may fare better."""


@dataclass
class _Answer:
    """An answer that is still arriving. ``calls``: [id, name, arguments] by the index that the server gives."""

    content: list[str] = field(default_factory=list)
    calls: dict[int, list[str]] = field(default_factory=dict)
    finish_reason: str | None = None

    def add(self, event: Any) -> Iterator[Piece]:
        """Take one event in; its texts are passed on.

        Raises:
            ValueError: it isn't a chunk of a chat completion.
        """
        choices = event.get("choices") if isinstance(event, dict) else None
        if not isinstance(choices, list):
            raise ValueError(f"no choices in {_shown(event)}")
        if not choices:  # the chunk with the usage
            return
        choice = choices[0] if isinstance(choices[0], dict) else {}
        delta = choice.get("delta") or {}
        if not isinstance(delta, dict):
            raise ValueError(f"no delta in {_shown(event)}")
        if isinstance(choice.get("finish_reason"), str):
            self.finish_reason = choice["finish_reason"]
        thinking = _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
        if thinking:
            yield Piece("thinking", thinking)
        if content := _text(delta.get("content")):
            self.content.append(content)
            yield Piece("content", content)
        self._add_calls(delta.get("tool_calls") or [])

    def _add_calls(self, fragments: Any) -> None:
        for fragment in fragments if isinstance(fragments, list) else []:
            function = fragment.get("function") if isinstance(fragment, dict) else None
            if not isinstance(function, dict):
                raise ValueError(f"no function in {_shown(fragment)}")
            index = fragment.get("index", 0)
            call = self.calls.setdefault(index if isinstance(index, int) else 0, ["", "", ""])
            if len(self.calls) > MAX_CALLS:
                raise ValueError(f"more than {MAX_CALLS} tool calls")
            call[0] = call[0] or _text(fragment.get("id"))
            if (name := _text(function.get("name"))) != call[1]:  # some servers repeat it whole
                call[1] += name
            call[2] += _text(function.get("arguments"))

    def whole(self) -> Said:
        """All of it."""
        calls = (NativeCall(*self.calls[index]) for index in sorted(self.calls))
        return Said("".join(self.content), tuple(calls), self.finish_reason)


class StreamClient:
    """Chat completions, streamed. Threads may share one."""

    def __init__(self, server: Server, generation: Generation, seed: int, thinking: bool | None) -> None:
        """``thinking``: None where the server isn't to be told."""
        self._server = server
        self._body: dict[str, Any] = {
            "model": server.model,
            "max_tokens": generation.max_tokens,
            "temperature": generation.temperature,
            "top_p": generation.top_p,
            "seed": seed,
            "stream": True,
        }
        if thinking is not None:
            self._body["chat_template_kwargs"] = {"enable_thinking": thinking}
        self._key = os.environ[server.api_key_env] if server.api_key_env else ""
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=server.timeout_s,
            trust_env=httpx.URL(server.base_url).host not in ("localhost", "127.0.0.1", "::1"),
        )

    def ask(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> Generator[Piece, None, Said]:
        """Stream the answer to a chat.

        Raises:
            RequestFailedError: refused, cut off, silent for ``timeout_s``, or no chat completion.
        """
        body = {**self._body, "messages": list(messages), **({"tools": list(tools)} if tools else {})}
        for attempt in range(1, self._server.max_retries + 2):
            try:
                return (yield from self._attempt(json.dumps(body).encode()))
            except _TryAgainError as error:
                if attempt > self._server.max_retries:
                    raise RequestFailedError(f"{error}; gave up after {attempt} attempts", "server") from None
                time.sleep(self._server.backoff_s * 2 ** min(attempt - 1, 10))
        raise AssertionError("the last attempt returns or raises")

    def _attempt(self, body: bytes) -> Generator[Piece, None, Said]:
        answer, has_begun = _Answer(), False
        url = below(self._server.base_url, "/chat/completions")
        try:
            with self._http.stream(
                "POST", url, content=body, headers={"Content-Type": "application/json"}
            ) as response:
                self._check_status(response)
                for event in _events(response.iter_bytes()):
                    has_begun = True
                    yield from answer.add(event)
        except httpx.TimeoutException:
            self._fail(f"silent for {self._server.timeout_s:g} s", has_begun)
        except httpx.RequestError as error:
            message = f"{type(error).__name__}: {error}".rstrip(": ")
            self._fail(without_key(message, self._key), has_begun)
        except ValueError as error:
            raise RequestFailedError(f"no chat completion in the stream: {error}", "server") from None
        if answer.finish_reason is None:
            self._fail("the stream ended before the answer did", has_begun)
        return answer.whole()

    def _fail(self, message: str, has_begun: bool) -> None:
        """What was shown can't be taken back, so an answer that has begun isn't asked for again."""
        if has_begun:
            raise RequestFailedError(f"cut off: {message}", "server")
        raise _TryAgainError(message)

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == 200:
            return
        text = without_key(response.read().decode("utf-8", "replace"), self._key)
        message = f"HTTP {status}: {' '.join(text[:500].split())}".rstrip(": ")
        if status in RETRIED_STATUS or status >= 500:
            raise _TryAgainError(message)
        raise RequestFailedError(message, "sample")


def _events(chunks: Iterable[bytes]) -> Iterator[Any]:
    """The JSON value of each ``data:`` line, up to ``[DONE]``; comments and other fields are passed over.

    Raises:
        ValueError: a line that is no JSON, has no end, or reports an error.
    """
    for line in _lines(chunks):
        name, _, value = line.partition(b":")
        if name != b"data" or not value.strip():
            continue
        if value.strip() == b"[DONE]":
            return
        try:
            event = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"no JSON in {_shown(line.decode('utf-8', 'replace'))}") from None
        if isinstance(event, dict) and event.get("error"):
            raise ValueError(f"the server reports {_shown(event['error'])}")
        yield event


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        *complete, rest = chunk.split(b"\n")
        for end in complete:
            yield b"".join([*parts, end]).rstrip(b"\r")
            parts, size = [], 0
        parts.append(rest)
        size += len(rest)
        if size > MAX_EVENT_BYTES:
            raise ValueError(f"an event of more than {MAX_EVENT_BYTES} bytes")
    if size:
        yield b"".join(parts).rstrip(b"\r")


def _text(value: object) -> str:
    """A text that can be sent back: half a surrogate pair becomes a question mark."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 300 else text[:300] + "…"
