"""Model FLOPs against torch's own count over transformers' models, and against the convention written down."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from magic_megatron.config.model import ModelConfig
from magic_megatron.planner.flops import attention_flops, row_flops, train_flops
from recipes.command import compose, typed

VOCABULARY, LENGTH = 640, 48
ARCHITECTURES = {
    "qwen3_tiny": (Qwen3Config, Qwen3ForCausalLM),
    "qwen3_moe_tiny": (Qwen3MoeConfig, Qwen3MoeForCausalLM),
    "qwen2_5_tiny": (Qwen2Config, Qwen2ForCausalLM),
}
PUBLISHED = ("qwen3_30b_a3b", "qwen3_32b", "qwen2_5_7b")


def recipe(name: str) -> ModelConfig:
    return typed(ModelConfig, compose("plan", [f"model={name}"]).model)


def counted_by_torch(model: ModelConfig) -> int:
    """Forward and backward over one row; eager attention, which computes the masked half too."""
    config, architecture = ARCHITECTURES[model.name]
    fields = dataclasses.asdict(model) | {"vocab_size": VOCABULARY, "attn_implementation": "eager"}
    if model.is_moe:
        fields["experts_implementation"] = "eager"
    built = architecture(config(**{k: v for k, v in fields.items() if k not in ("name", "rope_theta")}))
    tokens = torch.randint(0, VOCABULARY, (1, LENGTH))
    with FlopCounterMode(display=False) as counter:
        built(tokens, labels=tokens).loss.backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_torch_counts_the_same(name):
    model = recipe(name)
    masked_half = 3 * LENGTH * attention_flops(model, LENGTH)
    rotation_angles = 2 * LENGTH * model.head_dim // 2  # transformers makes them by a product
    expected = train_flops(model, [LENGTH], VOCABULARY) + masked_half + rotation_angles
    assert counted_by_torch(model) == expected


@pytest.mark.parametrize("name", PUBLISHED)
def test_megatrons_convention(name):
    """The sum of ``num_floating_point_operations`` in Megatron-LM, term by term, and the router's product."""
    model, tokens = recipe(name), 22528
    queries = model.num_attention_heads * model.head_dim
    keys = model.num_key_value_heads * model.head_dim
    mlp = model.num_experts_per_tok * model.moe_intermediate_size if model.is_moe else model.intermediate_size
    attention = (
        model.hidden_size * (queries + 2 * keys) + queries * tokens / 2 * 2 + queries * model.hidden_size
    )
    layer = 3 * 2 * (model.hidden_size * mlp * 3 + attention + model.hidden_size * model.num_experts)
    whole = tokens * (model.num_hidden_layers * layer + 3 * 2 * model.hidden_size * model.vocab_size)
    assert train_flops(model, [tokens], model.vocab_size) == pytest.approx(whole, rel=1e-12)


def test_attention_is_quadratic_in_rows_and_not_in_packs():
    model = recipe("qwen3_30b_a3b")
    one, two = train_flops(model, [4096], 151936), train_flops(model, [2048, 2048], 151936)
    assert one - two == pytest.approx(
        3 * 4096 * (attention_flops(model, 4096) - attention_flops(model, 2048))
    )
    lengths = np.array([0, 1, 100, 4096])
    assert row_flops(model, lengths, 151936).tolist() == [train_flops(model, [n], 151936) for n in lengths]
