"""Messages in the form that every trainer reads: a role and a content that is text alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


def plain(message: dict[str, Any]) -> dict[str, str]:
    """``message`` with its reasoning and tool calls in its content, as Qwen3's template writes them.

    Rendered by that template, it gives the text that ``message`` gives, but for newlines that content begins with.
    """
    content: str = message["content"]
    parts = [content]
    if (thought := (message.get("reasoning_content") or "").strip("\n")) and message["role"] == "assistant":
        parts = [f"<think>\n{thought}\n</think>\n\n{content.lstrip(chr(10))}"]
    for number, call in enumerate(message.get("tool_calls") or ()):
        function = call.get("function") or call
        given = function["arguments"]
        arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        newline = "\n" if content or number else ""
        parts.append(
            f'{newline}<tool_call>\n{{"name": "{function["name"]}", "arguments": {arguments}}}\n</tool_call>'
        )
    return {"role": message["role"], "content": "".join(parts)}


def has_reasoning(message: dict[str, Any]) -> bool:
    """Whether an assistant's answer begins with its thoughts."""
    return plain(message)["content"].lstrip().startswith("<think>")


def plain_all(messages: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    """``plain`` of each."""
    return [plain(message) for message in messages]


def compact_json(value: Any) -> str:
    """JSON text without spaces, characters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
