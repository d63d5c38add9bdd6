"""Which of verl's engines trains the policy, in which layout, and how much it takes at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from magic_megatron.config.layout import ParallelConfig
from magic_megatron.config.moe import MoeConfig
from recipes.command import InputError


@dataclass(frozen=True)
class EngineConfig:
    """One entry of ``recipes/rl/engine``. The actor and the reference policy use the same.

    Attributes:
        name: ``fsdp2``, transformers' model under torch's FSDP2, or ``megatron``, this project's model under
            Megatron-Core.
        parallel: the layout. ``fsdp2`` has ``cp`` only, which is verl's Ulysses.
        recompute: which activations to recompute in backward.
        offload_params: the policy's weights and gradients wait on the CPU while vLLM works.
        offload_optimizer: likewise its optimizer state.
        dynamic_batch: micro-batches of a number of tokens rather than of samples.
        max_tokens: in a micro-batch of an update, per GPU and context-parallel rank, with ``dynamic_batch``.
        max_log_prob_tokens: likewise of a pass for log-probabilities.
        micro_batch_size: samples in a micro-batch, without ``dynamic_batch``.
        init_from: a checkpoint of ``magic_megatron.sft`` to take the weights from, in place of the policy's
            safetensors. ``None`` takes those.
        moe: the losses of the routers; ``megatron`` only.
    """

    name: Literal["fsdp2", "megatron"]
    parallel: ParallelConfig
    recompute: Literal["none", "full"]
    offload_params: bool
    offload_optimizer: bool
    dynamic_batch: bool
    max_tokens: int
    max_log_prob_tokens: int
    micro_batch_size: int
    init_from: str | None
    moe: MoeConfig

    def __post_init__(self) -> None:
        for problem in (*self._count_problems(), *self._fsdp_problems()):
            raise problem

    def _count_problems(self) -> Iterator[InputError]:
        for key in ("max_tokens", "max_log_prob_tokens", "micro_batch_size"):
            if getattr(self, key) < 1:
                yield InputError(
                    f"engine.{key}={getattr(self, key)}: must be at least 1; try engine.{key}=4096"
                )

    def _fsdp_problems(self) -> Iterator[InputError]:
        if self.name != "fsdp2":
            return
        for key in ("tp", "pp", "ep", "etp"):
            if getattr(self.parallel, key) != 1:
                yield InputError(
                    f"engine.parallel.{key}={getattr(self.parallel, key)}: fsdp2 shards weights only; use"
                    f" rl/engine=megatron, or engine.parallel.{key}=1"
                )
        if self.init_from is not None:
            yield InputError(
                f"engine.init_from={self.init_from}: fsdp2 reads Hugging Face folders; convert it with"
                " magic_megatron.convert direction=to_hf and give model.path, or use rl/engine=megatron"
            )
        if self.moe.load_balancing != "none" or self.moe.aux_loss_coeff or self.moe.z_loss_coeff:
            yield InputError(
                f"engine.moe.load_balancing={self.moe.load_balancing}: transformers' routers under fsdp2 have no"
                " losses; use rl/engine=megatron, or leave engine.moe as the recipe has it"
            )
