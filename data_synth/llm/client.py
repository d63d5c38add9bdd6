"""Requests to OpenAI-compatible servers: many at once, patient with faults, strict with answers.

Three kinds of failure are kept apart. A fault that may pass (time-out, cut connection, 429, 5xx, a broken answer) is
tried again after a while, at another server if there is one. A refusal that every request would meet, or servers that
stay away, stop the run with InputError: what was answered is in the cache, and the same command goes on. What concerns
one request alone, while others are answered, rejects the attempt at its row with AnswerError.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
import time
from collections.abc import Mapping
from typing import Any

import httpx

from data_synth.llm.completion import Completion, UnusableError, Usage, read_completion
from data_synth.llm.connections import Connections
from data_synth.llm.fleet import Fleet
from data_synth.llm.key import ApiKey
from data_synth.llm.model import AnswerError
from data_synth.llm.settings import LlmSettings
from data_synth.llm.wire import Arrival, read_body, retry_after
from recipes.command import InputError

RETRIED_STATUS = frozenset({408, 409, 425, 429})
"""Beside all of 5xx: the server may answer the same request later."""

OVERLOADED_STATUS = frozenset({429, 502, 503, 504})
"""The server is better left alone for a while, by every request."""

REQUEST_STATUS = frozenset({400, 413, 422})
"""What the server has against this request may not concern others."""

MOST_ERROR_BYTES = 65_536

log = logging.getLogger(__name__)


class _FaultError(Exception):
    """A server didn't answer. ``rest_s``: how long all requests should leave it alone; None: they needn't."""

    def __init__(self, message: str, rest_s: float | None = None) -> None:
        super().__init__(message)
        self.rest_s = rest_s


class _RefusedError(Exception):
    """The server understood, and won't."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """The connections of one process; used on one event loop."""

    def __init__(self, settings: LlmSettings, key: ApiKey) -> None:
        self._settings = settings
        self._key = key
        self._fleet = Fleet(settings.base_urls, settings.max_wait_s)
        self._schemas_refused: set[str] = set()
        self._stopped: str | None = None
        self._num_failed = 0
        self._answered_at = -1.0
        self._told_at = float("-inf")
        # A packed answer can't be bounded by its bytes.
        headers = {**key.headers(), "Accept-Encoding": "identity", "Content-Type": "application/json"}
        self._connections = Connections(settings.concurrency, headers, settings.connect_timeout_s)

    async def close(self) -> None:
        await self._connections.close()

    async def ask(
        self, body: Mapping[str, Any], response_format: Mapping[str, Any] | None, unusable: list[Usage]
    ) -> Completion:
        """The completion of ``body``.

        Args:
            response_format: sent along, unless the server has refused it and ``llm.structured_output=auto``.
            unusable: gets what answers cost that can't be used.

        Raises:
            AnswerError: this request gets no usable answer, while others may.
            InputError: the run can't go on.
        """
        async with self._connections.slot() as pool:
            failed_at = time.monotonic()
            for attempt in range(1, self._settings.max_retries + 2):
                if self._stopped is not None:
                    raise InputError(self._stopped)
                url = await self._next_server()
                try:
                    http = self._connections.client(pool, url)
                    completion = await self._structured(http, url, body, response_format)
                except _RefusedError as refusal:
                    raise self._refused(url, refusal) from None
                except (_FaultError, UnusableError) as error:
                    if isinstance(error, UnusableError):
                        unusable.append(error.usage)
                    pause = self._settle(url, error, attempt)
                    if attempt > self._settings.max_retries or (
                        isinstance(error, UnusableError) and error.final
                    ):
                        raise self._failed(url, error, attempt, failed_at) from None
                    failed_at = time.monotonic()
                    await asyncio.sleep(pause)
                    continue
                self._answered_at = time.monotonic()
                self._num_failed = 0
                self._fleet.is_back(url)
                return completion
        raise AssertionError("the last attempt returns or raises")

    async def _next_server(self) -> str:
        url, wait_s = self._fleet.pick()
        while wait_s > 0:
            if wait_s > self._settings.max_wait_s + self._settings.backoff_s:
                raise self._stop(
                    f"llm.base_url={url}: asks to be left alone for {wait_s:.0f} s; run the same command again then,"
                    " or raise llm.max_wait_s"
                )
            await asyncio.sleep(wait_s + random.random() * min(self._settings.backoff_s, wait_s))
            url, wait_s = self._fleet.pick()
        return url

    async def _structured(
        self,
        http: httpx.AsyncClient,
        url: str,
        body: Mapping[str, Any],
        response_format: Mapping[str, Any] | None,
    ) -> Completion:
        """With the schema; without, where that is what the server refuses."""
        if response_format is None:
            return await self._attempt(http, url, body)
        schema = hashlib.sha256(json.dumps(response_format, sort_keys=True).encode()).hexdigest()
        if schema not in self._schemas_refused:
            try:
                return await self._attempt(http, url, {**body, "response_format": response_format})
            except _RefusedError as refusal:
                if self._settings.structured_output != "auto" or refusal.status not in REQUEST_STATUS:
                    raise
        completion = await self._attempt(http, url, body)
        self._schemas_refused.add(schema)
        return completion

    async def _attempt(self, http: httpx.AsyncClient, url: str, body: Mapping[str, Any]) -> Completion:
        settings = self._settings
        arrival = Arrival()
        try:
            async with (
                asyncio.timeout(settings.timeout_s),
                http.stream(
                    "POST",
                    url + "/chat/completions",
                    content=json.dumps(body).encode(),
                    extensions={"trace": arrival},
                ) as response,
            ):
                if arrival.is_early:
                    raise _FaultError("an answer that came before its request")
                if response.status_code != 200:
                    self._raise_for(response, await read_body(response, MOST_ERROR_BYTES))
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise UnusableError("answer_malformed", "packed, which wasn't asked for")
                text = await read_body(response, settings.max_answer_bytes + 1)
        except TimeoutError:
            raise _FaultError(f"no answer within llm.timeout_s={settings.timeout_s:g}") from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _FaultError(self._shown(f"{type(error).__name__}: {error}"), settings.backoff_s) from None
        except httpx.RequestError as error:
            raise _FaultError(self._shown(f"{type(error).__name__}: {error}")) from None
        if len(text) > settings.max_answer_bytes:
            detail = f"more than llm.max_answer_bytes={settings.max_answer_bytes}"
            raise UnusableError("answer_too_long", detail)
        completion = read_completion(text)
        if self._key.is_in(completion.text) or self._key.is_in(completion.reasoning or ""):
            raise UnusableError(
                "answer_holds_key", "the key of llm.api_key_env stands in it", completion.usage
            )
        has_budget = settings.budget is not None or settings.budget_tokens is not None
        if has_budget and not completion.usage.is_known:
            raise UnusableError("answer_uncounted", "no usage, without which no budget can be kept")
        return completion

    def _raise_for(self, response: httpx.Response, body: bytes) -> None:
        status = response.status_code
        message = f"HTTP {status}: {self._shown(body.decode(errors='replace'))}".rstrip(": ")
        if status in RETRIED_STATUS or status >= 500:
            wait_s = retry_after(response.headers.get("Retry-After", ""))
            overloaded = status in OVERLOADED_STATUS or wait_s > 0
            raise _FaultError(message, max(wait_s, self._settings.backoff_s) if overloaded else None)
        raise _RefusedError(status, message)

    def _settle(self, url: str, error: _FaultError | UnusableError, attempt: int) -> float:
        """Note what went wrong; seconds to wait before the next attempt, besides the server's rest."""
        if isinstance(error, _FaultError) and error.rest_s is not None:
            self._fleet.rest(url, error.rest_s)
        now = time.monotonic()
        if attempt > 1 and now - self._told_at > self._settings.max_wait_s:
            self._told_at = now
            log.warning(
                "llm.base_url=%s: %s; trying again, up to %d times", url, error, self._settings.max_retries
            )
        if self._fleet.has_other and attempt < len(self._fleet.urls):
            return 0.0
        doubled = self._settings.backoff_s * 2 ** min(attempt - 1, 30)
        return min(doubled, self._settings.max_wait_s) * (0.5 + 0.5 * random.random())

    def _failed(
        self, url: str, error: _FaultError | UnusableError, attempt: int, since: float
    ) -> AnswerError | InputError:
        """Whom to blame after the last attempt: the servers, if they answered nobody ``since`` the one before, or
        this request alone.
        """
        self._num_failed += 1
        gave_up = f"gave up after {attempt} attempts"
        if isinstance(error, _FaultError) and self._answered_at < since:
            return self._stop(
                f"llm.base_url={url}: {error}; {gave_up}: see that the server runs and has room, and run the same"
                " command again: it goes on"
            )
        if self._num_failed >= self._settings.give_up_after:
            return self._stop(
                f"llm.base_url={url}: the last {self._num_failed} requests got no usable answer, this one: {error};"
                " see what the server answers, or raise llm.max_tokens or llm.give_up_after"
            )
        reason = error.reason if isinstance(error, UnusableError) else "request_failed"
        return AnswerError(reason, f"{error}; {gave_up}")

    def _refused(self, url: str, refusal: _RefusedError) -> AnswerError | InputError:
        settings, status = self._settings, refusal.status
        if status in REQUEST_STATUS:
            self._num_failed += 1
            if self._answered_at >= 0 and self._num_failed < settings.give_up_after:
                return AnswerError("request_refused", str(refusal))
            return self._stop(
                f"llm.base_url={url}: refuses the request ({refusal}); see whether llm.model={settings.model} takes"
                " llm.max_tokens, llm.thinking, llm.extra_body and llm.structured_output"
            )
        if status in (401, 403):
            name = settings.api_key_env
            if name is None:
                fix = "llm.api_key_env=null: {} wants a key ({}); export it and name its variable"
            else:
                fix = f"llm.api_key_env={name}: {{}} refuses the key ({{}}); export the right one in {name}"
            return self._stop(fix.format(url, refusal))
        if status == 404:
            return self._stop(
                f"llm.model={settings.model}: not served at llm.base_url={url} ({refusal}); give the name that it"
                " is served by, and an address that ends as the API does, as in http://HOST:PORT/v1"
            )
        return self._stop(
            f"llm.base_url={url}: {refusal}; give the address of an OpenAI-compatible API, as in http://HOST:PORT/v1"
        )

    def _stop(self, message: str) -> InputError:
        """No request of this process is sent from now on."""
        self._stopped = message
        return InputError(message)

    def _shown(self, text: str) -> str:
        """What a server or library said, in one line, without the key."""
        return " ".join(self._key.hide(text).split())[:300].rstrip(": ")
