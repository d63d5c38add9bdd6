"""The architecture of a Qwen model, dense or Mixture-of-Experts, in the field names of its published config."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelConfig:
    """One entry of ``recipes/model``. ``num_experts=0`` is a dense model.

    ``vocab_size`` may be ``None`` in the tiny recipes: it then is the tokenizer's length.
    """

    name: str
    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int | None
    max_position_embeddings: int
    rope_theta: float
    rms_norm_eps: float
    tie_word_embeddings: bool
    attention_bias: bool
    qk_norm: bool
    initializer_range: float
    num_experts: int
    num_experts_per_tok: int
    moe_intermediate_size: int
    norm_topk_prob: bool

    @property
    def is_moe(self) -> bool:
        return self.num_experts > 0
