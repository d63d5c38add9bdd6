"""Hierarchical task decomposition, Eq. 4: ``<Plan>Step1.P1 Step2.P2</Plan><Reply>R1</Reply>``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from data_synth.tasks.decomposition.verify import parse
from magic_megatron.rl.rewards.base import Parts, RewardSettings, register
from magic_megatron.rl.rewards.formats import answer_of


class _Turn(BaseModel):
    plan: list[str]
    reply: str


class DecompositionTruth(BaseModel):
    """The one turn that is scored."""

    turns: list[_Turn] = Field(min_length=1, max_length=1)


@register("decomposition", part="plan", ground_truth=DecompositionTruth)
def reward(response: str, ground_truth: Mapping[str, Any], settings: RewardSettings) -> Parts:
    """``plan`` is 1 iff there are as many steps as in the gold and each of them and the reply reach their threshold."""
    body = answer_of(response)
    answer = None if body is None else parse(body)
    if answer is None:
        return Parts({"format": 0.0, "plan": 0.0}, "not <Plan>Step1.… Step2.…</Plan><Reply>…</Reply>")
    wanted = ground_truth["turns"][0]
    if len(answer.steps) != len(wanted["plan"]):
        reason = f"{len(answer.steps)} steps where {len(wanted['plan'])} are wanted"
        return Parts({"format": 1.0, "plan": 0.0}, reason)
    cosines = settings.embeddings.cosines([*answer.steps, answer.reply], [*wanted["plan"], wanted["reply"]])
    thresholds = settings.config.thresholds
    for number, cosine in enumerate(cosines[:-1], 1):
        if cosine < thresholds.step:
            return Parts(
                {"format": 1.0, "plan": 0.0}, f"step {number} says something else (cosine {cosine:.2f})"
            )
    if cosines[-1] < thresholds.reply:
        return Parts({"format": 1.0, "plan": 0.0}, f"another reply (cosine {cosines[-1]:.2f})")
    return Parts({"format": 1.0, "plan": 1.0}, "ok")
