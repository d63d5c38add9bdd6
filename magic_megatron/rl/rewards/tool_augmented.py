"""Tool-augmented planning, Eq. 5: ``<think>…</think><action>ToolList:[Tool1, …]</action>``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from data_synth.tasks.tool_augmented.verify import FORMAT, REPLY, parse, verify
from magic_megatron.rl.rewards.base import Parts, RewardSettings, register


class ToolCall(BaseModel):
    """A call of the gold."""

    name: str
    arguments: dict[str, Any]


class _Turn(BaseModel):
    calls: list[ToolCall]


class ToolAugmentedTruth(BaseModel):
    """The one turn that is scored."""

    turns: list[_Turn] = Field(min_length=1, max_length=1)


@register("tool_augmented", part="tool", ground_truth=ToolAugmentedTruth)
def reward(response: str, ground_truth: Mapping[str, Any], settings: RewardSettings) -> Parts:
    """``tool`` is 1 iff the list is the gold's in names, arguments and order; a reply's content goes by cosine."""
    if FORMAT.fullmatch(response) is None:
        return Parts({"format": 0.0, "tool": 0.0}, "not <think>…</think><action>ToolList:[…]</action>")
    parsed = parse(response)
    if parsed is None:
        return Parts({"format": 1.0, "tool": 0.0}, "the list isn't JSON calls with name and arguments")
    right, reason = verify(ground_truth, response)
    if not right:
        return Parts({"format": 1.0, "tool": 0.0}, f"not the gold calls: {reason}")
    wanted = ground_truth["turns"][0]["calls"]
    said, meant = (
        [call["arguments"]["content"] for call in calls if call["name"] == REPLY]
        for calls in (parsed[1], wanted)
    )
    cosine = min(settings.embeddings.cosines(said, meant), default=1.0)
    if cosine < settings.config.thresholds.reply:
        return Parts({"format": 1.0, "tool": 0.0}, f"the reply says something else (cosine {cosine:.2f})")
    return Parts({"format": 1.0, "tool": 1.0}, "ok")
