"""The semantic audit: a judge reads the whole trajectory for causal consistency (section 3.2).

The scripted judge checks what can be checked without a model: each value that the user is said to give occurs in the
user's words, each value from an observation in an earlier one, and no thought names a tool that is never used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from data_synth.llm.model import AnswerError, Model, ask
from data_synth.llm.scripted import scripted
from data_synth.tasks.tool_augmented.consistency import names_others, said

_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"sound": {"type": "boolean"}, "problem": {"type": "string"}},
    "required": ["sound", "problem"],
    "additionalProperties": False,
}


def audit(
    model: Model,
    language: str,
    seed: int,
    messages: Sequence[Mapping[str, Any]],
    turns: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
) -> None:
    """Raise AnswerError where the judge finds a hallucination or a contradiction.

    Args:
        messages: the row's.
        turns: ``gold.turns``.
        tools: the row's.
    """
    verdict = ask(
        model, "judge_trajectory", _SCHEMA, seed, language, messages=messages, turns=turns, tools=tools
    )
    if not verdict["sound"]:
        raise AnswerError("audit", verdict["problem"])


@scripted("judge_trajectory")
def judge(variables: Mapping[str, Any], rng: Random) -> dict[str, Any]:
    """Sound unless a value has no source or a thought speaks of a tool that isn't used."""
    problem = ungrounded(variables["messages"], variables["turns"], variables["language"])
    problem = problem or stray_tool(variables["messages"], variables["turns"], variables["tools"])
    return {"sound": problem is None, "problem": problem or ""}


def ungrounded(
    messages: Sequence[Mapping[str, Any]], turns: Sequence[Mapping[str, Any]], language: str
) -> str | None:
    """The first argument whose value nobody has said before the call; None if there is none."""
    heard, observed = "", list[Any]()
    answers = iter(turns)
    for message in messages:
        match message["role"]:
            case "user":
                heard += f"\n{message['content']}"
            case "tool":
                observed += leaves(json.loads(_inside(message["content"], "observation")))
            case "assistant":
                turn = next(answers)
                for call, sources in zip(turn["calls"], turn["sources"], strict=True):
                    for name, value in call["arguments"].items():
                        source = sources.get(name)
                        if source is None:
                            continue  # the words of a reply are its own
                        if not grounded(value, source, heard, observed, language):
                            return f"{call['name']}.{name}={value!r} comes from nowhere"
    return None


def grounded(
    value: Any, source: Mapping[str, Any], heard: str, observed: Sequence[Any], language: str
) -> bool:
    """Whether a value was said by the user or stood in an observation, as its source claims."""
    if source["from"] == "observation":
        return all(any(type(one) is type(leaf) and one == leaf for one in observed) for leaf in leaves(value))
    return said(heard, value, language, source.get("words"))


def stray_tool(
    messages: Sequence[Mapping[str, Any]],
    turns: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
) -> str | None:
    """The first thought that names a tool which the dialogue never calls."""
    used = {call["name"] for turn in turns for call in turn["calls"]}
    others = [tool["function"]["name"] for tool in tools if tool["function"]["name"] not in used]
    for message in messages:
        if message["role"] == "assistant":
            thought = _inside(message["content"], "think")
            if name := names_others(thought, others):
                return f"a thought names {name}, which is never called"
    return None


def leaves(value: Any) -> list[Any]:
    """The plain values in a JSON value."""
    if isinstance(value, Mapping):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [value]


def _inside(text: str, tag: str) -> str:
    return text.partition(f"<{tag}>")[2].rpartition(f"</{tag}>")[0]
