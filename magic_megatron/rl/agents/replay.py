"""Saved rollouts in place of new ones, for ``train_only``."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics

from magic_megatron.rl.agents.base import Agent, TurnOutput
from magic_megatron.rl.rollouts import Sample, read


class ReplayAgent(Agent):
    """Answers a prompt with what it was answered in the run that ``train_only`` names, token by token.

    A row is a group of one step of that run, its ``extra_info.group``; the sample is the group's of the same number.
    """

    async def episode(self, sampling_params: dict[str, Any], row: dict[str, Any]) -> list[TurnOutput]:
        step, group = int(row["extra_info"]["step"]), row["extra_info"]["group"]
        samples = _samples_of_step(self.settings.train_only, step).get((group, row["session_id"]), [])
        if not samples:
            self.note(row, "lost before its first turn in the run that is replayed", lost=True)
            return []
        outputs = [self._output(sample) for sample in sorted(samples, key=lambda sample: sample.turn)]
        last = samples[-1]
        outputs[-1].reward_score = last.reward
        outputs[-1].extra_fields["reward_extra_info"] = {**last.parts, "reason": last.reason, "won": last.won}
        return outputs

    def _output(self, sample: Sample) -> TurnOutput:
        counts = not sample.lost
        return TurnOutput(
            prompt_ids=sample.prompt_ids,
            response_ids=sample.response_ids,
            response_mask=[int(counts)] * len(sample.response_ids),
            response_logprobs=[
                value or 0.0 for value in sample.log_probs or [0.0] * len(sample.response_ids)
            ],
            segments=sample.segments,
            turn_index=sample.turn,
            counts=int(counts),
            num_turns=2,
            metrics=AgentLoopMetrics(),
            extra_fields={
                "min_global_steps": sample.step,
                "max_global_steps": sample.step,
                "valid": sample.valid,
            },
        )


@lru_cache(maxsize=2)
def _samples_of_step(run: str, step: int) -> dict[tuple[str, int], list[Sample]]:
    samples: dict[tuple[str, int], list[Sample]] = defaultdict(list)
    for sample in read(run, {step}, key="train_only"):
        samples[sample.group, sample.sample].append(sample)
    return dict(samples)
