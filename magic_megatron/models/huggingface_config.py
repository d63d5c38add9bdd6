"""``config.json`` and ``generation_config.json`` of transformers' Qwen models, from and to a ModelConfig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from magic_megatron.config.model import ModelConfig
from recipes.command import InputError

_MODEL_TYPES = {"qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM", "qwen3_moe": "Qwen3MoeForCausalLM"}
# What Megatron-Core's Qwen can't be: each key with the values that mean "off".
_UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "use_sliding_window": (False, None),
    "rope_scaling": (None,),
    "mlp_only_layers": ([], None),
    "decoder_sparse_step": (1, None),
    "attention_dropout": (0, None),
    "hidden_act": ("silu", None),
    "quantization_config": (None,),
}


def huggingface_config(
    model: ModelConfig, *, vocab_size: int, dtype: str, bos: int | None, eos: int | None
) -> dict[str, Any]:
    """The fields that Qwen publishes for such a model, with the published values where they are constant.

    Args:
        vocab_size: rows of the embedding.
        dtype: of the weights, ``float32`` or ``bfloat16``.
        bos: id of the token Qwen names as first; it doesn't use it.
        eos: id of the token that ends an answer.

    Raises:
        InputError: a model that no published architecture has.
    """
    model_type = _model_type(model)
    config = {
        "architectures": [_MODEL_TYPES[model_type]],
        "attention_dropout": 0.0,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "hidden_act": "silu",
        "hidden_size": model.hidden_size,
        "initializer_range": model.initializer_range,
        "intermediate_size": model.intermediate_size,
        "max_position_embeddings": model.max_position_embeddings,
        "max_window_layers": model.num_hidden_layers,
        "model_type": model_type,
        "num_attention_heads": model.num_attention_heads,
        "num_hidden_layers": model.num_hidden_layers,
        "num_key_value_heads": model.num_key_value_heads,
        "rms_norm_eps": model.rms_norm_eps,
        "rope_theta": model.rope_theta,
        "sliding_window": model.max_position_embeddings if model_type == "qwen2" else None,
        "tie_word_embeddings": model.tie_word_embeddings,
        "torch_dtype": dtype,
        "use_sliding_window": False,
        "vocab_size": vocab_size,
    }
    if model_type != "qwen2":
        config |= {"attention_bias": False, "head_dim": model.head_dim, "rope_scaling": None}
    if model.is_moe:
        config |= {
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "moe_intermediate_size": model.moe_intermediate_size,
            "norm_topk_prob": model.norm_topk_prob,
            "num_experts": model.num_experts,
            "num_experts_per_tok": model.num_experts_per_tok,
            "output_router_logits": False,
            "router_aux_loss_coef": 0.001,
        }
    return dict(sorted(config.items()))


def generation_config(*, bos: int | None, eos: int | None, pad: int | None) -> dict[str, Any]:
    """Where generation starts, ends and pads; how to sample is left to whoever asks."""
    ids = {"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad}
    return {key: value for key, value in ids.items() if value is not None}


def model_config(config: Mapping[str, Any], name: str) -> ModelConfig:
    """The ModelConfig of a ``config.json``, named ``name``.

    Raises:
        InputError: an architecture or a feature that this project doesn't train, or a missing field.
    """
    model_type = config.get("model_type")
    if model_type not in _MODEL_TYPES:
        raise InputError(
            f"model_type={model_type}: unknown architecture; choose a model of {', '.join(_MODEL_TYPES)}"
        )
    _refuse_unsupported(config, model_type)
    # transformers 5 saves num_experts under another name.
    config = {"num_experts": config.get("num_local_experts"), **config}
    is_moe = model_type == "qwen3_moe"
    heads = _field(config, "num_attention_heads")
    return ModelConfig(
        name=name,
        num_hidden_layers=_field(config, "num_hidden_layers"),
        hidden_size=_field(config, "hidden_size"),
        intermediate_size=_field(config, "intermediate_size"),
        num_attention_heads=heads,
        num_key_value_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or _field(config, "hidden_size") // heads,
        vocab_size=_field(config, "vocab_size"),
        max_position_embeddings=_field(config, "max_position_embeddings"),
        rope_theta=float(_rope(config, "rope_theta")),
        rms_norm_eps=_field(config, "rms_norm_eps"),
        tie_word_embeddings=_field(config, "tie_word_embeddings"),
        attention_bias=model_type == "qwen2",
        qk_norm=model_type != "qwen2",
        initializer_range=_field(config, "initializer_range"),
        num_experts=_field(config, "num_experts") if is_moe else 0,
        num_experts_per_tok=_field(config, "num_experts_per_tok") if is_moe else 0,
        moe_intermediate_size=_field(config, "moe_intermediate_size") if is_moe else 0,
        norm_topk_prob=_field(config, "norm_topk_prob") if is_moe else False,
    )


def _model_type(model: ModelConfig) -> str:
    if model.attention_bias == model.qk_norm or (model.attention_bias and model.is_moe):
        raise InputError(
            f"model.attention_bias={str(model.attention_bias).lower()}: Qwen2.5 is dense and has biases on"
            " query, key and value, Qwen3 has norms of query and key; set model.qk_norm to the opposite"
        )
    if model.attention_bias:
        if model.head_dim * model.num_attention_heads != model.hidden_size:
            raise InputError(
                f"model.head_dim={model.head_dim}: Qwen2.5 has heads of hidden_size / num_attention_heads ="
                f" {model.hidden_size // model.num_attention_heads}; set model.head_dim to that"
            )
        return "qwen2"
    return "qwen3_moe" if model.is_moe else "qwen3"


def _refuse_unsupported(config: Mapping[str, Any], model_type: str) -> None:
    for key, off in _UNSUPPORTED.items():
        if config.get(key) not in off:
            raise InputError(f"{key}={config[key]}: not supported; choose a {model_type} model without it")
    if config.get("attention_bias") and model_type != "qwen2":
        raise InputError(f"attention_bias=true: no published {model_type} has it; choose a model without it")
    rope_type = _rope(config, "rope_type", default="default")
    if rope_type != "default":
        raise InputError(f"rope_type={rope_type}: not supported; choose a {model_type} model without it")


def _rope(config: Mapping[str, Any], key: str, default: Any = None) -> Any:
    """transformers 5 nests what older versions had at the top."""
    nested = config.get("rope_parameters") or {}
    value = nested.get(key, config.get(key, default))
    return _field(config, key) if value is None else value


def _field(config: Mapping[str, Any], key: str) -> Any:
    if config.get(key) is None:
        raise InputError(f"{key}: missing in config.json; add the value that the model was trained with")
    return config[key]
