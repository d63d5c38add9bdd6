"""From the bytes of a streamed answer to its times. Nothing is parsed while answers are under way.

TTFT is the time to the first token, TPOT the mean time per token after it, latency the time to the last token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field, ValidationError

from evaluation.jsonl import quote


@dataclass(frozen=True)
class Recording:
    """What came for one request.

    Attributes:
        chunks: (seconds since the request was sent, bytes) of every read from the connection.
        failure: why there was no answer, or why it ended early; None where the connection did its work.
    """

    chunks: Sequence[tuple[float, bytes]]
    failure: str | None = None


@dataclass(frozen=True)
class Timing:
    """The times of one whole answer in seconds; ``tpot_s`` is None where all its tokens came at once.

    Token counts are the server's. ``cached_tokens``: of the prompt, where the server tells.
    """

    ttft_s: float
    tpot_s: float | None
    latency_s: float
    prompt_tokens: int | None
    completion_tokens: int
    cached_tokens: int | None


class IncompleteError(Exception):
    """A recording isn't a whole streamed answer; the message says what it is."""


class _Delta(BaseModel):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[object] | None = None


class _Choice(BaseModel):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None

    @property
    def has_token(self) -> bool:
        """Whether it brings tokens. /completions sends "" for tokens without a text, /chat for the role."""
        if self.finish_reason is not None or self.text is not None:
            return True
        delta = self.delta or _Delta()
        return bool(delta.content or delta.reasoning_content or delta.reasoning or delta.tool_calls)


class _Details(BaseModel):
    cached_tokens: int | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Chunk(BaseModel):
    choices: list[_Choice] | None = Field(default=None)
    usage: _Usage | None = None
    error: object = None


def read(recording: Recording) -> Timing:
    """The times of a recorded answer.

    A chunk's time is when its last byte was read. With token counts in every chunk the first chunk's tokens
    don't count as decoded after it; without them it is taken to hold one.

    Raises:
        IncompleteError: the request failed, or its stream was cut, isn't a stream, or tells no token counts.
    """
    if recording.failure is not None:
        raise IncompleteError(recording.failure)
    first_s = last_s = None
    num_first = 1
    is_finished = False
    usage = _Usage()
    for time_s, chunk in _parsed(recording.chunks):
        usage = chunk.usage or usage
        choice = chunk.choices[0] if chunk.choices else None
        if choice is None or not (
            choice.has_token or (chunk.usage is not None and chunk.usage.completion_tokens)
        ):
            continue
        if first_s is None:
            first_s = time_s
            num_first = max(1, chunk.usage.completion_tokens or 1) if chunk.usage else 1
        last_s = time_s
        is_finished |= choice.finish_reason is not None
    if not is_finished or first_s is None or last_s is None:
        raise IncompleteError("the stream was cut: no finish_reason")
    if not usage.completion_tokens:
        raise IncompleteError("no token counts: the server must send usage (stream_options.include_usage)")
    num_decoded = usage.completion_tokens - num_first
    return Timing(
        ttft_s=first_s,
        tpot_s=(last_s - first_s) / num_decoded if num_decoded > 0 else None,
        latency_s=last_s,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None,
    )


def _parsed(chunks: Sequence[tuple[float, bytes]]) -> Iterator[tuple[float, _Chunk]]:
    for time_s, payload in _events(chunks):
        if payload == b"[DONE]":
            return
        try:
            chunk = _Chunk.model_validate_json(payload)
        except ValidationError:
            shown = quote(payload[:200].decode("utf-8", "replace"))
            raise IncompleteError(f"no chunk of an answer in the stream: {shown}") from None
        if chunk.error is not None:
            raise IncompleteError(f"the server broke off: {quote(str(chunk.error))}")
        yield time_s, chunk


def _events(chunks: Sequence[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """(time of its last byte, data) of each server-sent event; a last one without its end of line isn't one."""
    pieces: list[bytes] = []
    for time_s, data in chunks:
        if b"\n" not in data:
            pieces.append(data)
            continue
        *lines, rest = b"".join([*pieces, data]).split(b"\n")
        pieces = [rest]
        for line in lines:
            if line.startswith(b"data:"):
                yield time_s, line[5:].strip()
