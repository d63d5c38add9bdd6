"""Bytes of activations on one rank, term by term as in ``docs/plan.md``.

After "Reducing Activation Recomputation in Large Transformer Models" (Korthikanti et al. 2022), Section 4, with flash
attention, grouped queries, RMSNorm, SwiGLU, experts and no dropout, for transformer-engine's layers as
``magic_megatron.models.transformer_config`` sets them.

Symbols: H hidden size, Q and K channels of all query and of all key-value heads, I and F inner sizes of a dense MLP and
of an expert, E experts, k chosen ones, b bytes of an element.
"""

from __future__ import annotations

from magic_megatron.planner.workload import Placement, Workload

_FP32 = 4


def kept_by_layer(work: Workload, place: Placement) -> float:
    """What one layer keeps of a micro-batch for its backward pass, without recomputation."""
    mlp = _kept_by_experts if work.model.is_moe else _kept_by_dense_mlp
    return _kept_by_attention(work, place) + mlp(work, place)


def layer_input(work: Workload, place: Placement) -> float:
    """What one layer keeps of a micro-batch when all of it is recomputed: the residual stream."""
    return float(work.itemsize * work.model.hidden_size * place.own_tokens(work))


def workspace(work: Workload, place: Placement) -> float:
    """Tensors that live only inside a layer, where backward has most of them.

    The whole norm output that sequence parallelism gathers and its gradient, or the tokens of the experts before and
    after their exchange; and the gradients of the MLP's inner tensors.
    """
    model, b = work.model, work.itemsize
    if model.is_moe:
        slots = model.num_experts_per_tok * place.own_tokens(work)
        return float(b * slots * (2 * model.hidden_size + 3 * model.moe_intermediate_size))
    inner = 3 * model.intermediate_size / place.parallel.tp
    return b * place.tokens(work) * (2 * model.hidden_size + inner)


def logits(work: Workload, place: Placement) -> float:
    """Logits of the last stage: in bf16, and in fp32 as the softmax that the loss keeps; in fp32 the same tensor."""
    per_logit = _FP32 if work.dtype == "fp32" else work.itemsize + _FP32
    return per_logit * place.tokens(work) * work.vocab_size / place.parallel.tp


def _kept_by_attention(work: Workload, place: Placement) -> float:
    """Input and output of the norm; the fused projection, of which the values are a part; queries and keys after norm
    and rotation; attention's output and its log-sum-exp."""
    model, tp = work.model, place.parallel.tp
    queries = model.num_attention_heads * model.head_dim
    keys = model.num_key_value_heads * model.head_dim
    channels = (queries + 2 * keys) + (queries + keys) + queries
    per_token = work.itemsize * channels + _FP32 * model.num_attention_heads
    return _kept_by_norm(work, place) + place.tokens(work) * per_token / tp


def _kept_by_norm(work: Workload, place: Placement) -> float:
    return 2.0 * work.itemsize * work.model.hidden_size * place.own_tokens(work)


def _kept_by_dense_mlp(work: Workload, place: Placement) -> float:
    """Input and output of the norm; gate and up projection; their product."""
    inner = 3 * work.model.intermediate_size / place.parallel.tp
    return _kept_by_norm(work, place) + work.itemsize * place.tokens(work) * inner


def _kept_by_experts(work: Workload, place: Placement) -> float:
    """Input and output of the norm; the router's logits, probabilities and scattered weights in fp32 and its map;
    for each chosen expert the token sorted to it, gate and up projection, and their product."""
    model, t = work.model, place.own_tokens(work)
    router = (3 * _FP32 + 1) * model.num_experts
    slot = work.itemsize * (model.hidden_size + 3 * model.moe_intermediate_size)
    return _kept_by_norm(work, place) + t * (router + model.num_experts_per_tok * slot)
