"""Long-horizon tool execution, Eq. 8: ``<think>…</think><tool_call>Tool</tool_call>``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, model_validator

from data_synth.tasks.long_horizon.verify import REPLY, verify
from magic_megatron.rl.rewards.base import Parts, RewardSettings, register
from magic_megatron.rl.rewards.formats import tagged


class _Call(BaseModel):
    name: str
    arguments: dict[str, Any]

    @model_validator(mode="after")
    def _reply_has_content(self) -> _Call:
        if self.name == REPLY and not isinstance(self.arguments.get("content"), str):
            raise ValueError("a reply without content")
        return self


class _Turn(BaseModel):
    call: _Call


class LongHorizonTruth(BaseModel):
    """The one turn that is scored."""

    turns: list[_Turn] = Field(min_length=1, max_length=1)


@register("long_horizon", part="tool", ground_truth=LongHorizonTruth)
def reward(response: str, ground_truth: Mapping[str, Any], settings: RewardSettings) -> Parts:
    """``tool`` is 1 iff the call is strict JSON and equals the gold's; a reply's content goes by cosine."""
    if tagged(response, "tool_call") is None:
        return Parts({"format": 0.0, "tool": 0.0}, "not <think>…</think><tool_call>…</tool_call>")
    cosine = settings.embeddings.cosines
    right, reason = verify(
        ground_truth,
        response,
        similarity=lambda said, wanted: cosine([said], [wanted])[0],
        threshold=settings.config.thresholds.reply,
    )
    return Parts({"format": 1.0, "tool": float(right)}, reason)
