"""The mapping of weights, against loops written from the two layouts' descriptions."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from magic_megatron.config.model import ModelConfig
from magic_megatron.models.huggingface import (
    all_weights,
    from_huggingface,
    huggingface_names,
    join,
    local_name,
    split,
    to_huggingface,
    transformer_engine_name,
    weight_groups,
    weight_shape,
)
from recipes.command import InputError

MOE = ModelConfig(
    name="moe",
    num_hidden_layers=2,
    hidden_size=12,
    intermediate_size=20,
    num_attention_heads=6,
    num_key_value_heads=2,
    head_dim=4,
    vocab_size=10,
    max_position_embeddings=64,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
    tie_word_embeddings=False,
    attention_bias=False,
    qk_norm=True,
    initializer_range=0.02,
    num_experts=3,
    num_experts_per_tok=2,
    moe_intermediate_size=8,
    norm_topk_prob=True,
)
DENSE = dataclasses.replace(MOE, name="dense", num_experts=0)
BIASED = dataclasses.replace(
    DENSE, name="biased", attention_bias=True, qk_norm=False, tie_word_embeddings=True
)
MODELS = [MOE, DENSE, BIASED]


def random_weights(model: ModelConfig) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(weight_shape(name, model, 10), generator=generator) for name in all_weights(model)
    }


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_round_trip_is_exact_and_complete(model):
    weights = random_weights(model)
    converted = to_huggingface(weights, model)
    back = from_huggingface(converted, model)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name]) for name in weights)
    assert sum(t.numel() for t in converted.values()) == sum(t.numel() for t in weights.values())


def test_names_are_those_of_published_checkpoints():
    names = set(to_huggingface(random_weights(MOE), MOE))
    layer = "model.layers.1."
    assert {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"} <= names
    assert {name.removeprefix(layer) for name in names if name.startswith(layer)} == {
        "input_layernorm.weight",
        "post_attention_layernorm.weight",
        "mlp.gate.weight",
        *(f"self_attn.{x}_proj.weight" for x in "qkvo"),
        *(f"self_attn.{x}_norm.weight" for x in "qk"),
        *(f"mlp.experts.{e}.{x}_proj.weight" for e in range(3) for x in ("gate", "up", "down")),
    }


def test_tied_embeddings_are_stored_once():
    names = set(to_huggingface(random_weights(BIASED), BIASED))
    assert "lm_head.weight" not in names
    assert {f"model.layers.0.self_attn.{x}_proj.bias" for x in "qkv"} <= names


def qkv_by_loops(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, model: ModelConfig) -> torch.Tensor:
    """Row by row: of each key-value head its query heads, then its key, then its value."""
    d, per_group = model.head_dim, model.num_attention_heads // model.num_key_value_heads
    rows = []
    for group in range(model.num_key_value_heads):
        for head in range(group * per_group, (group + 1) * per_group):
            rows += [q[head * d + channel] for channel in range(d)]
        rows += [k[group * d + channel] for channel in range(d)]
        rows += [v[group * d + channel] for channel in range(d)]
    return torch.stack(rows)


@settings(deadline=None, max_examples=30)
@given(
    groups=st.integers(1, 4),
    per_group=st.integers(1, 4),
    head_dim=st.integers(1, 5),
    hidden=st.integers(1, 6),
)
@pytest.mark.parametrize("kind", ["weight", "bias"])
def test_fused_qkv_equals_the_loops(kind, groups, per_group, head_dim, hidden):
    model = dataclasses.replace(
        MOE,
        num_key_value_heads=groups,
        num_attention_heads=groups * per_group,
        head_dim=head_dim,
        hidden_size=hidden,
    )
    name = f"decoder.layers.0.self_attention.linear_qkv.{kind}"
    columns = (hidden,) if kind == "weight" else ()
    q = torch.randn(groups * per_group * head_dim, *columns)
    k, v = torch.randn(2, groups * head_dim, *columns)
    fused = join(name, [q, k, v], model)
    assert torch.equal(fused, qkv_by_loops(q, k, v, model))
    for part, expected in zip(split(name, fused, model), (q, k, v), strict=True):
        assert torch.equal(part, expected)


def test_gate_lies_above_up():
    name = "decoder.layers.0.mlp.linear_fc1.weight"
    gate, up = torch.zeros(20, 12), torch.ones(20, 12)
    fused = join(name, [gate, up], DENSE)
    assert torch.equal(fused[:20], gate) and torch.equal(fused[20:], up)
    assert [name.rsplit(".", 2)[-2] for name in huggingface_names(name)] == ["gate_proj", "up_proj"]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_both_layer_specs_have_names(model):
    renamed = {transformer_engine_name(name, model): name for name in all_weights(model)}
    assert len(renamed) == len(all_weights(model))
    assert all(local_name(name) == original for name, original in renamed.items())
    weights = random_weights(model)
    under_other_spec = {name: weights[original] for name, original in renamed.items()}
    converted = to_huggingface(under_other_spec, model)
    assert all(
        torch.equal(converted[name], tensor) for name, tensor in to_huggingface(weights, model).items()
    )


def test_transformer_engine_names_are_its_modules():
    layer = "decoder.layers.7."
    expected = {
        "input_layernorm.weight": "self_attention.linear_qkv.layer_norm_weight",
        "mlp.experts.local_experts.5.linear_fc2.weight": "mlp.experts.linear_fc2.weight5",
        "pre_mlp_layernorm.weight": "pre_mlp_layernorm.weight",
    }
    for name, renamed in expected.items():
        assert transformer_engine_name(layer + name, MOE) == layer + renamed
    fused = layer + "mlp.linear_fc1.layer_norm_weight"
    assert transformer_engine_name(layer + "pre_mlp_layernorm.weight", DENSE) == fused


def test_groups_are_the_embedding_the_layers_and_the_end():
    groups = weight_groups(MOE)
    assert [len(group) for group in groups] == [1, 8 - 1 + 2 * 3, 8 - 1 + 2 * 3, 2]
    assert all(name.startswith("decoder.layers.1.") for name in groups[2])


@pytest.mark.parametrize("direction", [to_huggingface, from_huggingface])
def test_a_missing_weight_is_named(direction):
    weights = random_weights(DENSE)
    if direction is from_huggingface:
        weights = to_huggingface(weights, DENSE)
    name = next(name for name in weights if "down_proj" in name or "linear_fc2" in name)
    del weights[name]
    with pytest.raises(InputError, match=f"{name} of dense is missing"):
        direction(weights, DENSE)
