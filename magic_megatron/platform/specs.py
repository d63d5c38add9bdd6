"""Layer specs: one decoder on both platforms, of transformer-engine's modules on CUDA, ours in rehearsal."""

from __future__ import annotations

import functools
from typing import Any

from megatron.core.models.gpt.gpt_layer_specs import get_gpt_decoder_block_spec
from megatron.core.transformer.identity_op import IdentityOp
from megatron.core.transformer.moe.moe_layer import MoESubmodules
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules
from megatron.core.transformer.transformer_config import TransformerConfig

from magic_megatron.platform.attention import RehearsalAttention
from magic_megatron.platform.norm import RehearsalRMSNorm


def decoder_block_spec(config: TransformerConfig, platform: str) -> TransformerBlockSubmodules:
    """Specs of the layers that this pipeline stage builds; needs Megatron-Core's process groups.

    Args:
        config: of the model.
        platform: ``rehearsal`` or ``cuda``.
    """
    block = get_gpt_decoder_block_spec(
        config, use_transformer_engine=platform == "cuda", normalization=config.normalization
    )
    if platform == "rehearsal":
        block.layer_norm = RehearsalRMSNorm
        for layer in block.layer_specs:
            _rehearse(layer)
    return block


def set_router(block: TransformerBlockSubmodules, router: type) -> None:
    """Let every Mixture-of-Experts layer build ``router``, a subclass of Megatron-Core's TopKRouter."""
    for layer in block.layer_specs:
        experts = _mlp_submodules(layer)
        if isinstance(experts, MoESubmodules):
            experts.router = router


def _rehearse(layer: ModuleSpec) -> None:
    layer.submodules.input_layernorm = layer.submodules.pre_mlp_layernorm = RehearsalRMSNorm
    attention = layer.submodules.self_attention.submodules
    attention.core_attention = RehearsalAttention
    for name in ("q_layernorm", "k_layernorm"):
        if getattr(attention, name) is not IdentityOp:
            setattr(attention, name, RehearsalRMSNorm)


def _mlp_submodules(layer: ModuleSpec) -> Any:
    """Megatron-Core gives the MLP as a spec or a partial of its builder, by version and backend."""
    mlp = layer.submodules.mlp
    return mlp.keywords.get("submodules") if isinstance(mlp, functools.partial) else mlp.submodules
