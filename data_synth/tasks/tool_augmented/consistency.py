"""Does a thought speak of the action that follows it? Rules that hold for any model's text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from data_synth.filters.grounding import mentions
from data_synth.tasks.tool_augmented.situation import GoldCall, Situation


def contradiction(thought: str, facts: Situation, language: str) -> str | None:
    """What is wrong with the thought before a message of the agent; None if nothing is."""
    for call in facts.calls:
        if not names(thought, call.tool.name):
            return f"{call.tool.name} is called, and not named"
        if call.arguments and not _uses(thought, call, language):
            return f"no argument of {call.tool.name} is named"
    ruled_out = {tool.name for tool in facts.skipped} - {call.tool.name for call in facts.calls}
    if named := next((name for name in sorted(ruled_out) if names(thought, name)), None):
        return f"{named} is named, and ruled out"
    return None


def names_others(thought: str, others: Iterable[str]) -> str | None:
    """The first of the tools ``others`` that the thought names."""
    return next((name for name in others if names(thought, name)), None)


@cache
def _name(tool: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9_]){re.escape(tool)}(?![A-Za-z0-9_])")


def names(text: str, tool: str) -> bool:
    """Whether a tool's name stands in a text, as a word of its own."""
    return bool(_name(tool).search(text))


def _uses(thought: str, call: GoldCall, language: str) -> bool:
    """Whether the thought says the value or at least the name of one of the arguments."""
    return any(
        name in thought or said(thought, value, language, words_for(call.tool.hints, name, language))
        for name, value in call.arguments.items()
    )


def words_for(hints: Mapping[str, Any], name: str, language: str) -> Mapping[str, str]:
    """What the values of a parameter's enumeration are called."""
    found: Mapping[str, str] = hints.get("words", {}).get(name, {}).get(language, {})
    return found


def said(text: str, value: Any, language: str, words: Mapping[str, str] | None = None) -> bool:
    """Whether ``text`` says ``value``; ``words`` name the values of an enumeration."""
    if isinstance(value, list):
        return all(said(text, one, language, words) for one in value)
    if isinstance(value, str) and words and value in words and words[value].casefold() in text.casefold():
        return True
    return mentions(text, value, language)
