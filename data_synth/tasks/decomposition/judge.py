"""Semantic verification (section 3.1): does the plan do what the user asked, and nothing else?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from data_synth.llm.model import Model, ask
from data_synth.llm.scripted import scripted
from data_synth.tasks.decomposition.row_checks import dialogue_fault

_VERDICT = {
    "type": "object",
    "properties": {"agree": {"type": "boolean"}, "reason": {"type": "string", "maxLength": 2000}},
    "required": ["agree", "reason"],
    "additionalProperties": False,
}


def judge(
    model: Model,
    queries: Sequence[str],
    turns: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    seed: int,
    language: str,
) -> tuple[bool, str]:
    """Whether the model finds that each turn's plan and reply are right for the dialogue, and its reason.

    Args:
        turns: of ``gold``.
        tools: OpenAI schemas of the tools that the plan calls.

    Raises:
        AnswerError: the answer couldn't be used.
    """
    verdict = ask(
        model,
        "judge_decomposition",
        _VERDICT,
        seed,
        language,
        queries=list(queries),
        turns=list(turns),
        tools=[tool["function"] for tool in tools],
    )
    return verdict["agree"], verdict["reason"]


@scripted("judge_decomposition")
def weigh(variables: Mapping[str, Any], _rng: Random) -> dict[str, Any]:
    """What can be told by rule: grounding of every value, nothing kept back told, references, questions."""
    tools = {tool["name"]: tool for tool in variables["tools"]}
    fault = dialogue_fault(variables["queries"], variables["turns"], tools, variables["language"])
    return {"agree": fault is None, "reason": fault or "query, plan and reply agree"}
