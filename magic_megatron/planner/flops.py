"""Model FLOPs: what a training step computes, however it is executed.

The convention is Megatron-LM's (``num_floating_point_operations`` in ``megatron/training/training.py``): a product
of [m, k] by [k, n] takes 2·m·k·n; backward takes twice forward; recomputation isn't counted; of an expert layer, the
experts that a token goes to are; of causal attention the half that isn't masked is. Attention is quadratic in each
row, not in the pack that rows share. Beyond Megatron-LM's, the router's own product counts.

Symbols as in ``docs/plan.md``: H hidden size, Q and K channels of all query and of all key-value heads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from magic_megatron.config.model import ModelConfig

_TRAINING = 3  # forward, and backward to activations and to weights


def train_flops(model: ModelConfig, lengths: Sequence[int] | NDArray[np.int64], vocab_size: int) -> float:
    """FLOPs of forward and backward over rows of these ``lengths``, on all GPUs together.

    Divided by step time, number of GPUs and their peak it is the MFU.

    Args:
        lengths: tokens of every row of the global batch, without padding.
        vocab_size: rows of the embedding.
    """
    return float(row_flops(model, np.asarray(lengths), vocab_size).sum())


def row_flops(model: ModelConfig, lengths: NDArray[np.int64], vocab_size: int) -> NDArray[np.float64]:
    """FLOPs of forward and backward over each row, [R]: what rows cost when ranks are to be given equal work."""
    lengths = lengths.astype(np.float64)
    token = linear_flops(model) + output_flops(model, vocab_size)
    return _TRAINING * lengths * (token + attention_flops(model, 1.0) * lengths)


def linear_flops(model: ModelConfig) -> float:
    """Forward FLOPs of a token in all layers, without attention's scores."""
    return model.num_hidden_layers * (projection_flops(model) + mlp_flops(model))


def projection_flops(model: ModelConfig) -> float:
    """Forward FLOPs of a token in one layer's query, key, value and output projections."""
    queries = model.num_attention_heads * model.head_dim
    keys = model.num_key_value_heads * model.head_dim
    return 2.0 * model.hidden_size * (2 * queries + 2 * keys)


def mlp_flops(model: ModelConfig) -> float:
    """Forward FLOPs of a token in one layer's MLP: dense, or the router and the chosen experts."""
    return router_flops(model) + expert_flops(model) if model.is_moe else dense_mlp_flops(model)


def dense_mlp_flops(model: ModelConfig) -> float:
    return 2.0 * 3 * model.hidden_size * model.intermediate_size


def router_flops(model: ModelConfig) -> float:
    return 2.0 * model.hidden_size * model.num_experts


def expert_flops(model: ModelConfig) -> float:
    """Of the ``num_experts_per_tok`` experts that take the token."""
    return 2.0 * 3 * model.hidden_size * model.moe_intermediate_size * model.num_experts_per_tok


def attention_flops(model: ModelConfig, row_length: float) -> float:
    """Forward FLOPs of a token in all layers' scores and their sum over values, averaged over a row.

    A token sees half of its row on average: two products of 2·Q·(length / 2).
    """
    return model.num_hidden_layers * 2.0 * model.num_attention_heads * model.head_dim * row_length


def output_flops(model: ModelConfig, vocab_size: int) -> float:
    """Forward FLOPs of a token in the projection to the vocabulary; the embedding is a look-up."""
    return 2.0 * model.hidden_size * vocab_size
