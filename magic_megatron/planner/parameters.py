"""Numbers of parameters: of a model, and of what one rank of a layout holds of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from magic_megatron.config.layout import ParallelConfig
from magic_megatron.config.model import ModelConfig

# Megatron-Core's buffers (megatron/core/optimizer/param_layout.py, 0.19.2).
_PARAMETER_ALIGNMENT = 64
_BUCKET_ALIGNMENT = 128


@dataclass(frozen=True)
class ParameterCount:
    """Of a whole model. ``active`` are those that one token meets."""

    total: int
    active: int


@dataclass(frozen=True)
class StageParameters:
    """What one rank of a pipeline stage holds, in elements.

    Attributes:
        shared: weights that all data- and context-parallel ranks hold: everything but experts.
        experts: weights of its experts.
        shared_buffer, experts_buffer: the same in Megatron-Core's contiguous buffers: each weight begins at a
            multiple of 64, each buffer ends at one of 128 and of its number of replicas.
    """

    shared: int
    experts: int
    shared_buffer: int
    experts_buffer: int


def count_parameters(model: ModelConfig, vocab_size: int) -> ParameterCount:
    """Embedding and output layer included, counted once where they are tied."""
    layer = sum(_shared_weights(model, tp=1))
    expert = sum(_expert_weights(model, etp=1)) if model.is_moe else 0
    tables = (1 if model.tie_word_embeddings else 2) * vocab_size * model.hidden_size
    outside = tables + model.hidden_size
    layers = model.num_hidden_layers
    return ParameterCount(
        total=outside + layers * (layer + model.num_experts * expert),
        active=outside + layers * (layer + model.num_experts_per_tok * expert),
    )


def stage_parameters(
    model: ModelConfig, vocab_size: int, parallel: ParallelConfig, dp: int, stage: int
) -> StageParameters:
    """What a rank of pipeline stage ``stage`` holds.

    Megatron-Core keeps experts in a buffer of their own only where their ranks differ from the others'.
    """
    layers = model.num_hidden_layers // parallel.pp
    layer = _shared_weights(model, parallel.tp)
    outside = _weights_outside(model, vocab_size, parallel, stage)
    shared, aligned = layers * sum(layer) + sum(outside), layers * _aligned(layer) + _aligned(outside)
    experts = experts_aligned = 0
    if model.is_moe:
        held = layers * model.num_experts // parallel.ep
        expert = _expert_weights(model, parallel.etp)
        experts, experts_aligned = held * sum(expert), held * _aligned(expert)
    replicas = dp * parallel.cp
    if parallel.ep == 1 and parallel.tp == parallel.etp:
        return StageParameters(
            shared + experts, 0, _bucket(aligned + experts_aligned, replicas), experts_buffer=0
        )
    return StageParameters(
        shared,
        experts,
        _bucket(aligned, replicas),
        _bucket(experts_aligned, expert_replicas(parallel, dp)),
    )


def expert_replicas(parallel: ParallelConfig, dp: int) -> int:
    """Ranks that hold the same experts."""
    return parallel.tp * parallel.cp * dp // (parallel.ep * parallel.etp)


def _shared_weights(model: ModelConfig, tp: int) -> list[int]:
    """Sizes of one layer's weights on a tensor-parallel rank, without experts."""
    H, d = model.hidden_size, model.head_dim
    queries, projected = (
        model.num_attention_heads * d,
        (model.num_attention_heads + 2 * model.num_key_value_heads) * d,
    )
    sizes = [H, projected * H // tp, queries * H // tp, H]
    if model.attention_bias:
        sizes.append(projected // tp)
    if model.qk_norm:
        sizes += [d, d]
    if model.is_moe:
        return [*sizes, model.num_experts * H]
    return [*sizes, 2 * model.intermediate_size * H // tp, model.intermediate_size * H // tp]


def _expert_weights(model: ModelConfig, etp: int) -> list[int]:
    up = model.moe_intermediate_size * model.hidden_size // etp
    return [2 * up, up]


def _weights_outside(model: ModelConfig, vocab_size: int, parallel: ParallelConfig, stage: int) -> list[int]:
    """Embedding on the first stage; final norm and output layer on the last, which has its copy if they are tied."""
    table = vocab_size * model.hidden_size // parallel.tp
    first, last = stage == 0, stage == parallel.pp - 1
    sizes = [table] if first else []
    if last:
        sizes.append(model.hidden_size)
        if not (model.tie_word_embeddings and first):
            sizes.append(table)
    return sizes


def _aligned(sizes: list[int]) -> int:
    return sum(-(-size // _PARAMETER_ALIGNMENT) * _PARAMETER_ALIGNMENT for size in sizes)


def _bucket(aligned: int, replicas: int) -> int:
    unit = math.lcm(_BUCKET_ALIGNMENT, replicas)
    return -(-aligned // unit) * unit
