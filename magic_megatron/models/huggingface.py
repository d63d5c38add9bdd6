"""Weights of Megatron-Core's GPTModel and of transformers' Qwen models: one exact mapping, both ways.

Every Megatron weight is one to three Hugging Face weights side by side, so the mapping goes weight by weight
and needs no model. Here a Megatron weight has the name that a model of one process has under Megatron-Core's
local layer spec (``local_name``); H is the hidden size, d a head's, F an MLP's:

    linear_qkv   [key-value heads · (query heads per group + 2) · d, H]   per group its queries, key and value
    linear_fc1   [2 · F, H]                                               gate above up
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from magic_megatron.config.model import ModelConfig
from recipes.command import InputError

_ENDS = {
    "embedding.word_embeddings.weight": "model.embed_tokens.weight",
    "decoder.final_layernorm.weight": "model.norm.weight",
    "output_layer.weight": "lm_head.weight",
}
_GATE_UP = ("gate_proj.weight", "up_proj.weight")
_LAYER: dict[str, tuple[str, ...]] = {
    "input_layernorm.weight": ("input_layernorm.weight",),
    "self_attention.linear_qkv.weight": tuple(f"self_attn.{x}_proj.weight" for x in "qkv"),
    "self_attention.linear_qkv.bias": tuple(f"self_attn.{x}_proj.bias" for x in "qkv"),
    "self_attention.q_layernorm.weight": ("self_attn.q_norm.weight",),
    "self_attention.k_layernorm.weight": ("self_attn.k_norm.weight",),
    "self_attention.linear_proj.weight": ("self_attn.o_proj.weight",),
    "pre_mlp_layernorm.weight": ("post_attention_layernorm.weight",),
    "mlp.router.weight": ("mlp.gate.weight",),
    "mlp.linear_fc1.weight": tuple(f"mlp.{x}" for x in _GATE_UP),
    "mlp.linear_fc2.weight": ("mlp.down_proj.weight",),
}
_EXPERT = {"linear_fc1.weight": _GATE_UP, "linear_fc2.weight": ("down_proj.weight",)}
_LAYER_NAME = re.compile(r"decoder\.layers\.(\d+)\.(.+)")
_EXPERT_NAME = re.compile(r"mlp\.experts\.local_experts\.(\d+)\.(.+)")
# Where transformer-engine's modules keep what the local spec has under a name of its own.
_TRANSFORMER_ENGINE = (
    (r"\.input_layernorm\.weight$", r".self_attention.linear_qkv.layer_norm_weight"),
    (r"\.mlp\.experts\.local_experts\.(\d+)\.(linear_fc[12])\.weight$", r".mlp.experts.\2.weight\1"),
)
_LOCAL = (
    (r"\.self_attention\.linear_qkv\.layer_norm_weight$", r".input_layernorm.weight"),
    (r"\.mlp\.linear_fc1\.layer_norm_weight$", r".pre_mlp_layernorm.weight"),
    (r"\.mlp\.experts\.(linear_fc[12])\.weight(\d+)$", r".mlp.experts.local_experts.\2.\1.weight"),
)


def weight_groups(model: ModelConfig) -> list[list[str]]:
    """Megatron's names of all weights, in order: those of the embedding, of each layer, of the end."""
    end = ["decoder.final_layernorm.weight"]
    if not model.tie_word_embeddings:
        end.append("output_layer.weight")
    layers = [_layer_names(model, layer) for layer in range(model.num_hidden_layers)]
    return [["embedding.word_embeddings.weight"], *layers, end]


def weight_shape(name: str, model: ModelConfig, vocab_size: int) -> tuple[int, ...]:
    """Shape of the Megatron weight ``name``."""
    H, d = model.hidden_size, model.head_dim
    qkv = (model.num_attention_heads + 2 * model.num_key_value_heads) * d
    ffn = model.moe_intermediate_size if model.is_moe else model.intermediate_size
    by_ending: dict[str, tuple[int, ...]] = {
        "word_embeddings.weight": (vocab_size, H),
        "output_layer.weight": (vocab_size, H),
        "q_layernorm.weight": (d,),
        "k_layernorm.weight": (d,),
        "layernorm.weight": (H,),
        "linear_qkv.weight": (qkv, H),
        "linear_qkv.bias": (qkv,),
        "linear_proj.weight": (H, model.num_attention_heads * d),
        "router.weight": (model.num_experts, H),
        "linear_fc1.weight": (2 * ffn, H),
        "linear_fc2.weight": (H, ffn),
    }
    return next(shape for ending, shape in by_ending.items() if name.endswith(ending))


def huggingface_names(name: str) -> tuple[str, ...]:
    """The Hugging Face weights that the Megatron weight ``name`` consists of, in its order."""
    if name in _ENDS:
        return (_ENDS[name],)
    in_layer = _LAYER_NAME.fullmatch(name)
    assert in_layer is not None, name
    layer, rest = in_layer.groups()
    in_expert = _EXPERT_NAME.fullmatch(rest)
    if in_expert is None:
        return tuple(f"model.layers.{layer}.{end}" for end in _LAYER[rest])
    expert, rest = in_expert.groups()
    return tuple(f"model.layers.{layer}.mlp.experts.{expert}.{end}" for end in _EXPERT[rest])


def split(name: str, weight: Tensor, model: ModelConfig) -> tuple[Tensor, ...]:
    """The Megatron weight ``name`` as the tensors of ``huggingface_names(name)``."""
    if ".linear_qkv." in name:
        d = model.head_dim
        queries = model.num_attention_heads // model.num_key_value_heads * d
        groups = weight.view(model.num_key_value_heads, queries + 2 * d, *weight.shape[1:])
        return tuple(part.flatten(0, 1) for part in groups.split([queries, d, d], dim=1))
    if name.endswith("linear_fc1.weight"):
        return weight.chunk(2)
    return (weight,)


def join(name: str, parts: Sequence[Tensor], model: ModelConfig) -> Tensor:
    """The inverse of ``split``."""
    if ".linear_qkv." in name:
        groups = model.num_key_value_heads
        return torch.cat([part.unflatten(0, (groups, -1)) for part in parts], dim=1).flatten(0, 1)
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def local_name(name: str) -> str:
    """``name`` under the local layer spec, whichever spec the model that has it was built from."""
    return _rename(name, _LOCAL)


def transformer_engine_name(name: str, model: ModelConfig) -> str:
    """The name under transformer-engine's layer spec of the weight ``name`` of the local one."""
    dense = ((r"\.pre_mlp_layernorm\.weight$", r".mlp.linear_fc1.layer_norm_weight"),)
    return _rename(name, _TRANSFORMER_ENGINE + (() if model.is_moe else dense))


def to_huggingface(state_dict: Mapping[str, Tensor], model: ModelConfig) -> dict[str, Tensor]:
    """The state dict of a whole GPTModel, of either layer spec, as transformers' checkpoints have it.

    Raises:
        InputError: a weight is missing.
    """
    weights = {local_name(name): tensor for name, tensor in state_dict.items()}
    converted: dict[str, Tensor] = {}
    for name in all_weights(model):
        parts = split(name, _find(weights, name, model), model)
        converted.update(zip(huggingface_names(name), parts, strict=True))
    return converted


def from_huggingface(state_dict: Mapping[str, Tensor], model: ModelConfig) -> dict[str, Tensor]:
    """The inverse of ``to_huggingface``, named as under the local layer spec.

    Raises:
        InputError: a weight is missing.
    """
    return {
        name: join(name, [_find(state_dict, part, model) for part in huggingface_names(name)], model)
        for name in all_weights(model)
    }


def all_weights(model: ModelConfig) -> list[str]:
    return [name for group in weight_groups(model) for name in group]


def _layer_names(model: ModelConfig, layer: int) -> list[str]:
    left_out = set() if model.attention_bias else {"self_attention.linear_qkv.bias"}
    if not model.qk_norm:
        left_out |= {"self_attention.q_layernorm.weight", "self_attention.k_layernorm.weight"}
    left_out |= {"mlp.linear_fc1.weight", "mlp.linear_fc2.weight"} if model.is_moe else {"mlp.router.weight"}
    names = [end for end in _LAYER if end not in left_out]
    names += [f"mlp.experts.local_experts.{e}.{end}" for e in range(model.num_experts) for end in _EXPERT]
    return [f"decoder.layers.{layer}.{end}" for end in names]


def _rename(name: str, rules: Sequence[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _find(weights: Mapping[str, Tensor], name: str, model: ModelConfig) -> Tensor:
    if name not in weights:
        raise InputError(f"weights: {name} of {model.name} is missing; choose the model that they belong to")
    return weights[name]
