"""What every agent loop does: ask the policy for one turn, reproducibly, and mark its tokens."""

from __future__ import annotations

import json
import os
import traceback
from abc import abstractmethod
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput

from magic_megatron.rl.prompts import encode_prompt, request_seed, template_kwargs
from magic_megatron.rl.segments import mark

ERRORS_FILE = "rollout_errors.jsonl"


class TurnOutput(AgentLoopOutput):
    """One turn of an episode: one training sample.

    What ``as_dict`` adds travels through TransferQueue to loss and engine: per response token ``segments``; per sample,
    as tensors of shape (1,), ``turn_index``, ``counts``, which is 0 for an episode that its environment lost, and
    ``is_padding``, which is 1 for what the trainer fills a batch up with.
    """

    segments: list[int]
    turn_index: int
    counts: int = 1
    is_padding: int = 0

    def as_dict(self) -> dict[str, Any]:
        fields = super().as_dict()
        fields["segments"] = torch.tensor(fields["segments"], dtype=torch.int64)
        for name in ("turn_index", "counts", "is_padding"):
            fields[name] = torch.tensor([getattr(self, name)], dtype=torch.int64)
        return fields


class Agent(AgentLoopBase):
    """Base of the project's agent loops."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = self.config.magic

    async def run(  # type: ignore[override]  # verl takes a list as well
        self, sampling_params: dict[str, Any], **row: Any
    ) -> list[TurnOutput]:
        """The turns of one episode. What goes wrong is noted for the driver, which verl only tells that it did."""
        try:
            return await self.episode(sampling_params, row)
        except Exception:
            self.note(row, traceback.format_exc(limit=-3))
            raise

    @abstractmethod
    async def episode(self, sampling_params: dict[str, Any], row: dict[str, Any]) -> list[TurnOutput]:
        """The turns of one episode of ``row``; the last carries the reward if the loop knows it."""

    async def turn(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        sampling_params: dict[str, Any],
        row: dict[str, Any],
        turn_index: int,
    ) -> TurnOutput:
        """One answer of the policy to ``messages``.

        The request's seed comes from the run's seed, the step, the prompt, the sample and the turn, so that a resumed
        run draws what an uninterrupted one would have drawn.

        Raises:
            ValueError: the prompt is longer than ``data.max_prompt_length``.
        """
        prompt_ids = await self.loop.run_in_executor(None, self._encode, messages, tools, row)
        limit = self.rollout_config.prompt_length
        if len(prompt_ids) > limit:
            raise ValueError(
                f"data.max_prompt_length={limit}: turn {turn_index} of {_name(row)} has a prompt of"
                f" {len(prompt_ids)} tokens; raise it, or shorten rl.env's history"
            )
        drawn = self._sampling(sampling_params, row["sampling"])
        drawn["seed"] = request_seed(
            self.settings.seed,
            row["global_steps"],
            row["sampling"],
            row["index"],
            row["session_id"],
            turn_index,
        )
        output = await self.server_manager.generate(
            request_id=uuid4().hex, prompt_ids=prompt_ids, sampling_params=drawn
        )
        response_ids = output.token_ids[: self.rollout_config.response_length]
        return TurnOutput(
            prompt_ids=prompt_ids,
            response_ids=response_ids,
            response_mask=[1] * len(response_ids),
            response_logprobs=output.log_probs[: len(response_ids)] if output.log_probs else None,
            routed_experts=output.routed_experts,
            segments=mark(response_ids, self.tokenizer),
            turn_index=turn_index,
            num_turns=2,
            metrics=AgentLoopMetrics(),
            extra_fields={**output.extra_fields, "turn_scores": [], "tool_rewards": []},
        )

    def text(self, output: TurnOutput) -> str:
        """What the policy said, without special tokens such as the end of the turn."""
        tokenizer: Any = self.tokenizer
        return str(tokenizer.decode(output.response_ids, skip_special_tokens=True))

    def _encode(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, row: dict[str, Any]
    ) -> list[int]:
        arguments = template_kwargs(self.apply_chat_template_kwargs, row["extra_info"])
        return encode_prompt(self.tokenizer, messages, tools, arguments)

    def _sampling(self, sampling_params: dict[str, Any], sampling: str) -> dict[str, Any]:
        if sampling == "greedy":
            return sampling_params | {"temperature": 0.0, "top_p": 1.0, "top_k": -1}
        rollout = self.rollout_config
        return sampling_params | {
            "temperature": rollout.temperature,
            "top_p": rollout.top_p,
            "top_k": rollout.top_k,
        }

    def note(self, row: dict[str, Any], error: str, lost: bool = False) -> None:
        """Tell the driver what went wrong with ``row``; ``lost``: an episode without samples, and no failure."""
        line = json.dumps({"prompt": _name(row), "lost": lost, "error": error}) + "\n"
        descriptor = os.open(
            Path(self.settings.output_dir) / ERRORS_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644
        )
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def _name(row: dict[str, Any]) -> str:
    return str(row["extra_info"].get("id") or row["index"])
