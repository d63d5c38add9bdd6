"""From a recipe's model and layout to Megatron-Core's TransformerConfig, nothing left to upstream's defaults.

The names on the left are Megatron-Core's (``megatron/core/transformer/transformer_config.py``).
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any, Literal

import torch
import torch.nn.functional as F
from megatron.core.transformer.transformer_config import TransformerConfig

from magic_megatron.config.layout import ParallelConfig
from magic_megatron.config.model import ModelConfig
from magic_megatron.platform import PLATFORMS
from recipes.command import InputError

Recompute = Literal["none", "full"]


def transformer_config(
    model: ModelConfig,
    parallel: ParallelConfig,
    platform: str,
    dtype: torch.dtype,
    *,
    recompute: Recompute,
    moe_capacity_factor: float | None,
) -> TransformerConfig:
    """What Megatron-Core needs to build ``model`` under ``parallel``.

    The router's own losses are off: ours replaces them through the layer spec. The loss is a sum over tokens
    that Megatron-Core divides by their number in the global batch, so that it doesn't depend on the layout.

    Args:
        platform: ``rehearsal`` or ``cuda``; fused kernels and grouped GEMM exist on ``cuda`` only.
        dtype: of weights and activations: float32, or bfloat16 under fp32 main weights.
        recompute: which activations to recompute in backward: none or all.
        moe_capacity_factor: tokens an expert takes, as a multiple of its even share; ``None`` drops no token.

    Raises:
        InputError: a model that Megatron-Core's router can't express.
    """
    with warnings.catch_warnings():
        # Megatron-Core's own default for CUDA graphs, which we don't use, warns of itself.
        warnings.filterwarnings("ignore", message="full scope is deprecated")
        return TransformerConfig(
            **_architecture(model),
            **(_experts(model, platform, moe_capacity_factor) if model.is_moe else {}),
            **_layout(parallel, dtype),
            **_execution(platform, dtype, recompute),
        )


def _architecture(model: ModelConfig) -> dict[str, Any]:
    return {
        "num_layers": model.num_hidden_layers,
        "hidden_size": model.hidden_size,
        "ffn_hidden_size": model.intermediate_size,
        "num_attention_heads": model.num_attention_heads,
        "num_query_groups": model.num_key_value_heads,
        "kv_channels": model.head_dim,
        "qk_layernorm": model.qk_norm,
        "add_qkv_bias": model.attention_bias,
        "add_bias_linear": False,
        "normalization": "RMSNorm",
        "layernorm_epsilon": model.rms_norm_eps,
        "layernorm_zero_centered_gamma": False,
        "gated_linear_unit": True,
        "activation_func": F.silu,
        "rotary_interleaved": False,
        "attention_dropout": 0.0,
        "hidden_dropout": 0.0,
        "init_method_std": model.initializer_range,
    }


def _experts(model: ModelConfig, platform: str, capacity_factor: float | None) -> dict[str, Any]:
    if model.num_experts_per_tok == 1 and model.norm_topk_prob:
        raise InputError(
            "model.norm_topk_prob=true: with model.num_experts_per_tok=1 every probability is 1 and the"
            " router can't learn; set model.norm_topk_prob=false"
        )
    return {
        "num_moe_experts": model.num_experts,
        "moe_ffn_hidden_size": model.moe_intermediate_size,
        "moe_layer_freq": 1,
        "moe_router_topk": model.num_experts_per_tok,
        # Softmax over the chosen logits equals softmax over all of them, renormalised over the chosen.
        "moe_router_pre_softmax": not model.norm_topk_prob,
        "moe_router_score_function": "softmax",
        "moe_router_dtype": "fp32",
        "moe_router_load_balancing_type": "none",
        "moe_aux_loss_coeff": 0.0,
        "moe_z_loss_coeff": None,
        "moe_expert_capacity_factor": capacity_factor,
        "moe_pad_expert_input_to_capacity": False,
        "moe_token_drop_policy": "probs",
        "moe_token_dispatcher_type": "alltoall",
        "moe_grouped_gemm": PLATFORMS[platform].has_fused_kernels,
        "moe_permute_fusion": PLATFORMS[platform].has_fused_kernels,
    }


def _layout(parallel: ParallelConfig, dtype: torch.dtype) -> dict[str, Any]:
    return {
        "tensor_model_parallel_size": parallel.tp,
        "pipeline_model_parallel_size": parallel.pp,
        "context_parallel_size": parallel.cp,
        "expert_model_parallel_size": parallel.ep,
        "expert_tensor_parallel_size": parallel.etp,
        "sequence_parallel": parallel.uses_sequence_parallel,
        "cp_comm_type": "p2p",
        "pipeline_dtype": dtype,
        "variable_seq_lengths": False,
        "batch_p2p_comm": True,
        "deallocate_pipeline_outputs": True,
    }


def _execution(platform: str, dtype: torch.dtype, recompute: Recompute) -> dict[str, Any]:
    fused = PLATFORMS[platform].has_fused_kernels
    return {
        "params_dtype": dtype,
        "bf16": dtype is torch.bfloat16,
        "calculate_per_token_loss": True,
        "attention_softmax_in_fp32": True,
        # initialization.py draws the weights; Megatron-Core's own draw depends on the layout.
        "perform_initialization": False,
        "use_cpu_initialization": not fused,
        "bias_activation_fusion": fused,
        "bias_dropout_fusion": fused,
        "apply_rope_fusion": fused,
        "masked_softmax_fusion": False,
        "cross_entropy_loss_fusion": fused,
        "gradient_accumulation_fusion": fused and _has_apex_gradient_kernel(),
        "recompute_granularity": None if recompute == "none" else recompute,
        "recompute_method": "uniform" if recompute == "full" else None,
        "recompute_num_layers": 1 if recompute == "full" else None,
    }


def _has_apex_gradient_kernel() -> bool:
    """The output layer accumulates its gradient through NVIDIA apex's kernel, if that was built."""
    return importlib.util.find_spec("fused_weight_gradient_mlp_cuda") is not None
