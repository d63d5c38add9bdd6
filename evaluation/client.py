"""Ask an OpenAI-compatible chat endpoint, patiently: time-outs, retries with back-off, nothing logged."""

from __future__ import annotations

import asyncio
import email.utils
import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import httpx

from evaluation.address import below, check_address, without_credentials, without_key
from evaluation.benchmarks import Message, Reply, ToolCall
from evaluation.jsonl import encode
from recipes.command import InputError

RETRIED_STATUS = frozenset({408, 409, 425, 429})
"""Beside all of 5xx: the server may answer the same request later."""

REFUSED_STATUS = frozenset({401, 403, 404, 405})
"""The server will refuse every request of this run."""


type Role = Literal["agent", "user", "judge"]


@dataclass(frozen=True)
class Price:
    """What a million tokens cost, in US dollars; None where that isn't known."""

    prompt: float | None
    completion: float | None


@dataclass(frozen=True)
class Endpoint:
    """``endpoint``, ``user`` and ``judge`` of ``recipes/eval.yaml``; times in seconds.

    ``base_url`` is None where there is no such endpoint, ``thinking`` where the server isn't to be told.
    """

    base_url: str | None
    model: str | None
    thinking: bool | None
    concurrency: int
    timeout_s: float
    max_retries: int
    backoff_s: float
    max_wait_s: float
    give_up_after: int
    api_key_env: str | None
    price: Price

    def check(self, group: str) -> None:
        """Refuse what can't be asked, by the names of its keys in ``group``; without an address there is nothing.

        Raises:
            InputError: an address that is none, no model, a number out of range, or no such variable.
        """
        if self.base_url is None:
            return
        check_address(group, self.base_url, self.timeout_s, self.api_key_env)
        if self.model is None:
            raise InputError(f"{group}.model=null: which model is it? give the name that the server knows")
        for key, value, least in (
            ("concurrency", self.concurrency, 1),
            ("give_up_after", self.give_up_after, 1),
            ("max_retries", self.max_retries, 0),
            ("backoff_s", self.backoff_s, 0),
            ("max_wait_s", self.max_wait_s, 0),
            ("price.prompt", self.price.prompt or 0, 0),
            ("price.completion", self.price.completion or 0, 0),
        ):
            if value < least:
                raise InputError(f"{group}.{key}={value}: too small; give {least} or more")

    @property
    def url(self) -> httpx.URL:
        """The address."""
        assert self.base_url is not None
        return httpx.URL(self.base_url)

    @property
    def chat_url(self) -> httpx.URL:
        """Where chats are asked."""
        assert self.base_url is not None
        return below(self.base_url, "/chat/completions")

    @property
    def shown_url(self) -> str:
        """The address without credentials and query, for files and messages."""
        assert self.base_url is not None
        return without_credentials(self.base_url)


@dataclass(frozen=True)
class Generation:
    """``generation`` of ``recipes/eval.yaml``."""

    max_tokens: int
    temperature: float
    top_p: float

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise InputError(f"generation.max_tokens={self.max_tokens}: too small; give 1 or more")
        if self.temperature < 0:
            raise InputError(f"generation.temperature={self.temperature}: negative; give 0 or more")
        if not 0 < self.top_p <= 1:
            raise InputError(f"generation.top_p={self.top_p}: not a share; give a number in (0, 1]")


@dataclass(frozen=True)
class Answer:
    """A reply and what it cost. Token counts as far as the server tells."""

    reply: Reply
    prompt_tokens: int | None
    completion_tokens: int | None
    num_attempts: int
    latency_s: float


class RequestFailedError(Exception):
    """A request got no answer.

    Attributes:
        fault: what is to blame: this "sample" (others may fare better), the "server" (down or overloaded), or
            the whole "run" (key, address or model refused: no other request will fare better).
        role: whose endpoint it was, None where it was none.
    """

    role: Role | None = None

    def __init__(self, message: str, fault: Literal["sample", "server", "run"]) -> None:
        super().__init__(message)
        self.fault = fault


class _TryAgainError(Exception):
    """This attempt failed in a way that another may not. ``wait_s``: what the server asked for."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class ChatClient:
    """Chat completions over one pool of connections; use as an async context manager."""

    def __init__(self, endpoint: Endpoint, generation: Generation) -> None:
        self._endpoint = endpoint
        self._body: dict[str, Any] = {
            "model": endpoint.model,
            "max_tokens": generation.max_tokens,
            "temperature": generation.temperature,
            "top_p": generation.top_p,
        }
        if endpoint.thinking is not None:
            self._body["chat_template_kwargs"] = {"enable_thinking": endpoint.thinking}
        self._key = os.environ[endpoint.api_key_env] if endpoint.api_key_env else ""
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._http = httpx.AsyncClient(
            headers={"Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {self._key}"} if self._key else {}),
            timeout=None,  # asyncio.timeout in _attempt bounds the whole request, slow drips included
            limits=httpx.Limits(max_connections=endpoint.concurrency),
            trust_env=endpoint.url.host not in ("localhost", "127.0.0.1", "::1"),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ask(
        self,
        messages: Sequence[Message],
        seed: int,
        tools: Sequence[Mapping[str, Any]] | None = None,
        stop: Sequence[str] | None = None,
    ) -> Answer:
        """The endpoint's answer to a chat.

        Args:
            messages: OpenAI chat.
            seed: for a server that samples.
            tools: OpenAI schemas, for native function calls.
            stop: texts that end the answer, and aren't part of it.

        Raises:
            RequestFailedError: refused, or no readable answer after ``max_retries`` further attempts.
        """
        body = self._body | {"messages": list(messages), "seed": seed}
        body |= {"tools": list(tools)} if tools else {}
        body |= {"stop": list(stop)} if stop else {}
        for attempt in range(1, self._endpoint.max_retries + 2):
            try:
                async with self._slots:
                    return await self._attempt(encode(body), attempt)
            except _TryAgainError as error:
                if attempt > self._endpoint.max_retries:
                    raise RequestFailedError(f"{error}; gave up after {attempt} attempts", "server") from None
                if error.wait_s > self._endpoint.max_wait_s:
                    raise RequestFailedError(
                        f"{error}; asks to wait {error.wait_s:.0f} s", "server"
                    ) from None
                await asyncio.sleep(max(error.wait_s, self._backoff(attempt)))
        raise AssertionError("the last attempt returns or raises")

    def _backoff(self, attempt: int) -> float:
        """Exponential with jitter (half to whole), so that waiting requests don't return all at once."""
        return min(self._endpoint.backoff_s * 2 ** min(attempt - 1, 30), self._endpoint.max_wait_s) * (
            0.5 + 0.5 * random.random()
        )

    async def _attempt(self, body: bytes, number: int) -> Answer:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._endpoint.timeout_s):
                response = await self._http.post(self._endpoint.chat_url, content=body)
        except TimeoutError:
            raise _TryAgainError(f"no answer within {self._endpoint.timeout_s:g} s") from None
        except httpx.RequestError as error:
            message = f"{type(error).__name__}: {error}".rstrip(": ")
            raise _TryAgainError(without_key(message, self._key)) from None
        self._check_status(response)
        return _read_answer(response, number, time.monotonic() - started)

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == 200:
            return
        text = without_key(response.text, self._key)
        message = f"HTTP {status}: {' '.join(text[:300].split())}".rstrip(": ")
        if status in RETRIED_STATUS or status >= 500:
            raise _TryAgainError(message, _retry_after(response.headers.get("Retry-After", "")))
        raise RequestFailedError(message, "run" if status in REFUSED_STATUS else "sample")


def _retry_after(header: str) -> float:
    """Seconds to wait by a Retry-After header (seconds or an HTTP date, RFC 9110 10.2.3); 0 without one."""
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _read_answer(response: httpx.Response, num_attempts: int, latency_s: float) -> Answer:
    try:
        body = response.json()
        choice = body["choices"][0]
        usage = body.get("usage") or {}
        return Answer(
            reply=_read_reply(choice["message"], choice.get("finish_reason")),
            prompt_tokens=_count(usage.get("prompt_tokens")),
            completion_tokens=_count(usage.get("completion_tokens")),
            num_attempts=num_attempts,
            latency_s=round(latency_s, 4),
        )
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise _TryAgainError(f"no chat completion in the answer ({type(error).__name__})") from None


def _read_reply(message: dict[str, Any], finish_reason: str | None) -> Reply:
    calls = message.get("tool_calls") or []
    content = (message.get("content") if calls else message["content"]) or ""
    text, inline_thought = _split_reasoning(_whole(content))
    thought = message.get("reasoning_content") or message.get("reasoning")
    return Reply(
        text=text,
        reasoning=_whole(thought) if thought else inline_thought,
        tool_calls=tuple(_read_call(call["function"]) for call in calls),
        finish_reason=finish_reason,
    )


def _read_call(function: dict[str, Any]) -> ToolCall:
    arguments = function.get("arguments") or ""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall(_whole(function["name"]), _whole(text))


def _whole(text: str) -> str:
    """``text`` without halves of surrogate pairs, which could be sent back to no server."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _split_reasoning(content: str) -> tuple[str, str | None]:
    """(answer, reasoning) of a text that may begin with ``<think>…</think>``; cut off in it: no answer."""
    opened = content.lstrip().removeprefix("<think>")
    if opened == content.lstrip() and "</think>" not in content:
        return content, None
    reasoning, _, answer = opened.partition("</think>")
    return answer.strip(), reasoning.strip() or None
