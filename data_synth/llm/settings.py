"""The settings of ``llm=…``; ``recipes/llm/openai.yaml`` explains the keys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx

from recipes.command import InputError

MACHINE_LLM_KEYS = (
    "base_url",
    "api_key_env",
    "concurrency",
    "timeout_s",
    "connect_timeout_s",
    "max_retries",
    "backoff_s",
    "max_wait_s",
    "give_up_after",
    "cache",
    "price_input",
    "price_output",
    "budget",
    "budget_tokens",
)
"""Keys that say where, how fast and for how much, and leave what is asked for, and so the rows, as they are."""

OWN_FIELDS = frozenset(
    {
        "model",
        "messages",
        "temperature",
        "top_p",
        "max_tokens",
        "seed",
        "response_format",
        "chat_template_kwargs",
    }
)
"""What the client itself writes into a request."""


@dataclass(frozen=True)
class LlmSettings:
    """``recipes/llm``; times in seconds, prices per million tokens."""

    name: Literal["scripted", "openai"]
    base_url: str | tuple[str, ...] | None
    model: str | None
    api_key_env: str | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    thinking: bool | None
    structured_output: Literal["auto", "json_schema", "none"]
    extra_body: dict[str, Any]
    max_answer_bytes: int
    concurrency: int
    timeout_s: float
    connect_timeout_s: float
    max_retries: int
    backoff_s: float
    max_wait_s: float
    give_up_after: int
    cache: Path
    price_input: float
    price_output: float
    budget: float | None
    budget_tokens: int | None

    @property
    def waits(self) -> bool:
        """Answers come from somebody else: many rows can wait at once."""
        return self.name != "scripted"

    @property
    def base_urls(self) -> tuple[str, ...]:
        """The addresses without a slash at the end."""
        given = (self.base_url,) if isinstance(self.base_url, str) else self.base_url or ()
        return tuple(url.rstrip("/") for url in given)

    def __post_init__(self) -> None:
        """Raise InputError for what no model can do."""
        if self.name == "scripted":
            if self.model or self.base_url:
                raise InputError(
                    "llm.name=scripted: has no use for llm.model and llm.base_url; add llm=openai"
                )
            return
        self._check_endpoints()
        self._check_ranges()
        self._check_budget()
        written = sorted(OWN_FIELDS & set(self.extra_body)) + ["stream"] * ("stream" in self.extra_body)
        if written:
            raise InputError(
                f"llm.extra_body.{written[0]}: the client's own field; leave it out, or set its llm key"
            )

    def _check_endpoints(self) -> None:
        if not self.model:
            raise InputError("llm.model: missing; give the name under which the endpoint serves the model")
        if not self.base_urls:
            raise InputError("llm.base_url: missing; give http://HOST:PORT/v1, or a list of such addresses")
        for number, base_url in enumerate(self.base_urls):
            try:
                url = httpx.URL(base_url)
            except httpx.InvalidURL:
                url = httpx.URL("")
            which = f" (number {number + 1})" if len(self.base_urls) > 1 else ""
            if url.scheme not in ("http", "https") or not url.host:
                raise InputError(f"llm.base_url{which}: not an address; give http://HOST:PORT/v1")
            if url.userinfo or url.query or url.fragment:
                raise InputError(
                    f"llm.base_url{which}: holds a password, a query or a fragment; give the bare address, and"
                    " the key in the environment variable that llm.api_key_env names"
                )

    def _check_ranges(self) -> None:
        for key, least in (
            ("concurrency", 1),
            ("give_up_after", 1),
            ("max_answer_bytes", 1024),
            ("max_tokens", 1),
            ("max_retries", 0),
            ("backoff_s", 0),
            ("max_wait_s", 0),
            ("temperature", 0),
            ("price_input", 0),
            ("price_output", 0),
        ):
            value = getattr(self, key)
            if value is not None and value < least:
                raise InputError(f"llm.{key}={value}: too small; give {least} or more")
        for key in ("timeout_s", "connect_timeout_s", "budget", "budget_tokens"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise InputError(f"llm.{key}={value}: nothing can be done with it; give a number above 0")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"llm.top_p={self.top_p}: not a share; give a number above 0, up to 1")

    def _check_budget(self) -> None:
        if self.budget is not None and self.price_input == self.price_output == 0:
            raise InputError(
                f"llm.budget={self.budget}: never reached at price 0; give llm.price_input and llm.price_output,"
                " or use llm.budget_tokens"
            )
