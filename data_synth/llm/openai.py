"""The model behind an OpenAI-compatible endpoint: cache, budget and accounts around the client.

Called from many threads, each of which waits for its own answer; inside, one event loop per process does the asking.
A forked or pickled copy opens connections of its own when it is first used.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import re
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from data_synth.llm.background import BackgroundLoop
from data_synth.llm.cache import RequestCache, Totals
from data_synth.llm.client import Client
from data_synth.llm.completion import Completion, Usage
from data_synth.llm.key import ApiKey
from data_synth.llm.model import Request
from data_synth.llm.settings import LlmSettings
from recipes.command import InputError

KEY_VERSION = 1
"""Rises when the same request means something else."""


@dataclass(frozen=True)
class _Process:
    """What can't be shared with other processes."""

    loop: BackgroundLoop
    client: Client


class OpenAiModel:
    """Answers requests from the cache, or else from the endpoint.

    Raises:
        InputError: no key in the environment, or a cache that can't be used.
    """

    def __init__(self, settings: LlmSettings, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self._key = ApiKey.from_environment(settings.api_key_env)
        self._cache = RequestCache(settings.cache)
        self._cache.check()
        self._process: _Process | None = None
        self._forget_process()
        _MODELS.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenAiModel, (self._settings, self._seed)

    @property
    def name(self) -> str:
        """As served."""
        assert self._settings.model is not None
        return self._settings.model

    def complete(self, request: Request) -> str:
        """The answer's text; the same request has the same answer for as long as the cache is kept.

        Raises:
            AnswerError: the endpoint gave no text, whatever was tried.
            InputError: it can't be reached or refuses, the budget is spent, or the cache can't be used.
        """
        body = self._body(request)
        key = self.cache_key(request)
        with self._only_one(key):
            answer = self._cache.get(key, self.name)
            if answer is None:
                self._check_budget()
                answer = self._cache.put(key, self.name, request.role, *self._paid(body, request))
        return answer.text

    def usage(self) -> dict[str, Any]:
        """Requests, tokens and cost of this model by the cache's record, earlier runs with the same file included."""
        totals = self._cache.totals(self.name)
        counts = {field: getattr(totals, field) for field in Totals.__dataclass_fields__}
        return {"model": self.name, **counts, "cost": round(totals.cost, 6)}

    def close(self) -> None:
        """End the connections and the thread; the next request opens them again."""
        with self._process_lock:
            process, self._process = self._process, None
        if process is not None:
            process.loop.run(process.client.close())
            process.loop.close()
        self._cache.close()

    def cache_key(self, request: Request) -> str:
        """SHA-256 (hex) of the request alone: not of where it is sent, with which key, or how patiently."""
        structured = self._settings.structured_output != "none"
        identity = {"version": KEY_VERSION, "body": self._body(request), "structured": structured}
        text = json.dumps({**identity, "schema": request.schema}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _body(self, request: Request) -> dict[str, Any]:
        settings = self._settings
        digest = hashlib.sha256(f"{self._seed}/{request.seed}".encode()).digest()
        optional = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
            "chat_template_kwargs": (
                None if settings.thinking is None else {"enable_thinking": settings.thinking}
            ),
        }
        return {
            **settings.extra_body,
            "model": settings.model,
            "messages": [dict(message) for message in request.messages],
            "seed": int.from_bytes(digest[:4]) >> 1,  # some servers take 31 bits
            **{field: value for field, value in optional.items() if value is not None},
        }

    def _paid(self, body: dict[str, Any], request: Request) -> tuple[Completion, float]:
        """An answer from the endpoint and its cost; what unusable ones cost is booked in any case."""
        response_format = None
        if self._settings.structured_output != "none":
            name = re.sub(r"[^A-Za-z0-9_-]", "_", request.role)[:64]
            json_schema = {"name": name, "schema": request.schema, "strict": True}
            response_format = {"type": "json_schema", "json_schema": json_schema}
        process = self._this_process()
        unusable: list[Usage] = []
        try:
            answer = process.loop.run(process.client.ask(body, response_format, unusable))
        finally:
            for usage in unusable:
                self._cache.pay(self.name, usage, self._cost(usage))
        return answer, self._cost(answer.usage)

    def _cost(self, usage: Usage) -> float:
        settings = self._settings
        paid = (usage.prompt_tokens or 0) * settings.price_input
        return (paid + (usage.completion_tokens or 0) * settings.price_output) / 1e6

    def _check_budget(self) -> None:
        settings = self._settings
        if settings.budget is None and settings.budget_tokens is None:
            return
        totals = self._cache.totals()
        tokens = totals.prompt_tokens + totals.completion_tokens
        for key, spent in (("budget", totals.cost), ("budget_tokens", tokens)):
            limit = getattr(settings, key)
            if limit is not None and spent >= limit:
                raise InputError(
                    f"llm.{key}={limit}: spent, after {totals.requests} requests with {tokens} tokens at a cost of"
                    f" {totals.cost:.6g} that {self._cache.path} records; raise it, and the same command goes on"
                )

    @contextlib.contextmanager
    def _only_one(self, key: str) -> Iterator[None]:
        """Threads with the same request wait for the first of them."""
        with self._flights_lock:
            lock, num = self._flights.get(key, (threading.Lock(), 0))
            self._flights[key] = (lock, num + 1)
        try:
            with lock:
                yield
        finally:
            with self._flights_lock:
                lock, num = self._flights.pop(key)
                if num > 1:
                    self._flights[key] = (lock, num - 1)

    def _this_process(self) -> _Process:
        with self._process_lock:
            if self._process is None:
                self._process = _Process(BackgroundLoop(), Client(self._settings, self._key))
            return self._process

    def _forget_process(self) -> None:
        self._process_lock, self._flights_lock = threading.Lock(), threading.Lock()
        self._flights: dict[str, tuple[threading.Lock, int]] = {}
        self._process = None


_MODELS: weakref.WeakSet[OpenAiModel] = weakref.WeakSet()
_ABANDONED: list[_Process] = []
"""The parent's, in a forked child: never touched, since they share sockets and the event loop's file with it."""


def _after_fork_in_child() -> None:
    for model in list(_MODELS):
        if model._process is not None:
            _ABANDONED.append(model._process)
        model._forget_process()


@atexit.register
def _close_all() -> None:
    for model in list(_MODELS):
        model.close()


os.register_at_fork(after_in_child=_after_fork_in_child)
