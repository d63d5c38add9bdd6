"""Prompts as token ids, and the seeds of their answers. Without verl, for checks before anything starts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any


def encode_prompt(
    tokenizer: Any,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
    template_kwargs: Mapping[str, Any],
) -> list[int]:
    """Token ids of a prompt up to where the answer begins, by the tokenizer's chat template."""
    text = tokenizer.apply_chat_template(
        list(messages),
        tools=list(tools) if tools else None,
        add_generation_prompt=True,
        tokenize=False,
        **template_kwargs,
    )
    return list(tokenizer.encode(text, add_special_tokens=False))


def template_kwargs(configured: Mapping[str, Any], extra_info: Mapping[str, Any]) -> dict[str, Any]:
    """The chat template's arguments for a row of a verl parquet file; ``configured`` ones win.

    Where the row's own answer has no reasoning, SFT taught it behind the empty think block that
    ``enable_thinking=false`` puts at the prompt's end, and never taught to write that block.
    """
    return {**({"enable_thinking": False} if extra_info.get("thinking") is False else {}), **configured}


def request_seed(*parts: Any) -> int:
    """63 bits from ``parts``, equal in every process."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
