"""Keep a given number of requests under way and record what comes back, byte by byte."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import httpx

from evaluation.address import below, check_address, without_credentials, without_key
from evaluation.efficiency.stream import Recording
from evaluation.jsonl import quote

MOST_BYTES = 1 << 26
"""Of one answer; a stream that goes on after that is broken off, its request failed."""


@dataclass(frozen=True)
class Target:
    """``endpoint`` of ``recipes/efficiency.yaml``."""

    base_url: str
    model: str
    timeout_s: float
    api_key_env: str | None

    def __post_init__(self) -> None:
        check_address("endpoint", self.base_url, self.timeout_s, self.api_key_env)

    @property
    def shown_url(self) -> str:
        """The address without credentials and query, for files and messages."""
        return without_credentials(self.base_url)

    def url(self, path: str) -> httpx.URL:
        """Of the OpenAI-compatible interface: ``url("/chat/completions")``."""
        return below(self.base_url, path)

    @property
    def tokenize_url(self) -> httpx.URL:
        """vLLM's ``/tokenize``, which lies beside ``/v1``."""
        return below(self.base_url, "/tokenize", without="/v1")


@dataclass(frozen=True)
class Question:
    """What all requests of a run have in common."""

    api: Literal["chat", "completions"]
    output_tokens: int
    ignore_eos: bool
    continuous_usage: bool
    temperature: float
    seed: int

    @property
    def path(self) -> str:
        """Below the base URL."""
        return "/chat/completions" if self.api == "chat" else "/completions"

    def body(self, model: str, prompt: str) -> dict[str, Any]:
        """The request; what a server may not know of is only sent where it is asked for."""
        said = (
            {"messages": [{"role": "user", "content": prompt}]} if self.api == "chat" else {"prompt": prompt}
        )
        return {
            "model": model,
            **said,
            "max_tokens": self.output_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            "stream": True,
            "stream_options": {
                "include_usage": True,
                **({"continuous_usage_stats": True} if self.continuous_usage else {}),
            },
            **({"ignore_eos": True} if self.ignore_eos else {}),
        }


class LoadClient:
    """Connections to one endpoint; use as an async context manager."""

    def __init__(self, target: Target, question: Question) -> None:
        key = os.environ[target.api_key_env] if target.api_key_env else ""
        self._key = key
        self._target = target
        self._question = question
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=None,  # asyncio.timeout bounds the whole request
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            trust_env=httpx.URL(target.base_url).host not in ("localhost", "127.0.0.1", "::1"),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ask_json(self, url: httpx.URL, body: dict[str, Any]) -> httpx.Response:
        """The answer to one plain request over the same connections."""
        return await self._http.post(url, json=body, timeout=self._target.timeout_s)

    async def record_all(self, prompts: Sequence[str], concurrency: int) -> tuple[list[Recording], float]:
        """A recording per prompt, in order, and the seconds from the first request to the last answer's end.

        As soon as a request has ended, in whatever way, the next one is sent. Requests are written and
        connections opened beforehand, so that many at once don't wait for each other here.
        """
        recordings: list[Recording | None] = [None] * len(prompts)
        requests = [self._request(prompt) for prompt in prompts]
        await self._connect(min(concurrency, len(prompts)))

        async def work(waiting: Iterator[tuple[int, httpx.Request]]) -> None:
            for number, request in waiting:
                recordings[number] = await self._record(request)

        waiting = iter(enumerate(requests))
        started = time.perf_counter()
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(concurrency, len(prompts))):
                workers.create_task(work(waiting))
        wall_s = time.perf_counter() - started
        return [recording for recording in recordings if recording is not None], wall_s

    def _request(self, prompt: str) -> httpx.Request:
        body = self._question.body(self._target.model, prompt)
        return self._http.build_request("POST", self._target.url(self._question.path), json=body)

    async def _connect(self, num_connections: int) -> None:
        """Open connections by asking for the models; what doesn't open now does with its first request."""
        asked = (
            self._http.get(self._target.url("/models"), timeout=self._target.timeout_s)
            for _ in range(num_connections)
        )
        await asyncio.gather(*asked, return_exceptions=True)

    async def _record(self, request: httpx.Request) -> Recording:
        chunks: list[tuple[float, bytes]] = []
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._target.timeout_s):
                failure = await self._stream(request, chunks, started)
        except TimeoutError:
            failure = f"no whole answer within {self._target.timeout_s:g} s"
        except httpx.RequestError as error:
            failure = without_key(f"{type(error).__name__}: {error}".rstrip(": "), self._key)
        return Recording(chunks, failure)

    async def _stream(
        self, request: httpx.Request, chunks: list[tuple[float, bytes]], started: float
    ) -> str | None:
        """Append to ``chunks`` what comes; what was wrong with it as far as one sees without parsing."""
        num_bytes = 0
        response = await self._http.send(request, stream=True)
        try:
            async for data in response.aiter_raw():
                chunks.append((time.perf_counter() - started, data))
                num_bytes += len(data)
                if num_bytes > MOST_BYTES:
                    return f"more than {MOST_BYTES} bytes in one answer"
        finally:
            await response.aclose()
        if response.status_code == httpx.codes.OK:
            return None
        text = b"".join(data for _, data in chunks).decode("utf-8", "replace")
        return f"HTTP {response.status_code}: {quote(without_key(text, self._key), 200)}"
