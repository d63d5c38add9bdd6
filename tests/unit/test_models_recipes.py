"""Recipes of published models say what Qwen published, field by field; tiny ones fit their layouts."""

import dataclasses
import json
import os
import re
from pathlib import Path

import pytest

from magic_megatron.config.layout import ParallelConfig, check_model_fits
from magic_megatron.config.model import ModelConfig
from magic_megatron.models.huggingface_config import generation_config, huggingface_config, model_config
from magic_megatron.planner.parameters import count_parameters
from recipes.command import InputError, compose, typed

RECIPES = Path(__file__).parents[2] / "recipes" / "model"
SHARED = Path(os.environ.get("MAGIC_SHARED", Path(__file__).parents[3] / "shared"))
PUBLISHED = {
    "qwen3_0_6b": "Qwen3-0.6B",
    "qwen3_1_7b": "Qwen3-1.7B",
    "qwen3_4b": "Qwen3-4B",
    "qwen3_8b": "Qwen3-8B",
    "qwen3_14b": "Qwen3-14B",
    "qwen3_32b": "Qwen3-32B",
    "qwen3_30b_a3b": "Qwen3-30B-A3B",
    "qwen3_235b_a22b": "Qwen3-235B-A22B",
    "qwen2_5_3b": "Qwen2.5-3B",
    "qwen2_5_7b": "Qwen2.5-7B",
}
# Elements: all, those that a token meets, and those outside the embedding and the output layer. From the
# headers of the published safetensors where a number is exact, else from the model cards.
SIZES = {
    "qwen3_0_6b": (596_049_920, 596_049_920, 0.44e9),
    "qwen3_1_7b": (1_720_574_976, 1_720_574_976, 1.4e9),
    "qwen3_30b_a3b": (30_532_122_624, 3.3e9, 29.9e9),
    "qwen3_235b_a22b": (235_093_634_560, 22.19e9, 234e9),
}
MAGICAGENT_LAYOUT = ParallelConfig(tp=4, pp=2, cp=2, ep=4, etp=1, sequence_parallel=None)


def recipe(name: str) -> ModelConfig:
    return typed(ModelConfig, compose("sft", [f"model={name}", "output_dir=-"]).model)


def published(name: str) -> dict:
    path = SHARED / "data" / "hf_configs" / f"{PUBLISHED[name]}.json"
    if not path.is_file():
        pytest.skip(f"no published {path.name} in ../shared/data/hf_configs or $MAGIC_SHARED/data/hf_configs")
    return json.loads(path.read_text())


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_field_follows_from_the_recipe(name):
    config = published(name)
    ids = {"bos": config["bos_token_id"], "eos": config["eos_token_id"]}
    made = huggingface_config(
        recipe(name), vocab_size=config["vocab_size"], dtype=config["torch_dtype"], **ids
    )
    assert made == config


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_recipe_follows_from_the_published_config(name):
    assert model_config(published(name), name=name) == recipe(name)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_a_model_of_its_name(path):
    model = recipe(path.stem)
    assert model.name == path.stem
    assert model.is_moe == ("moe" in path.stem or re.search(r"_a\d+b$", path.stem) is not None)
    made = huggingface_config(model, vocab_size=640, dtype="float32", bos=None, eos=1)
    assert model_config(made, name=model.name) == dataclasses.replace(model, vocab_size=640)


@pytest.mark.parametrize("name", SIZES)
def test_a_model_has_its_published_size(name):
    model = recipe(name)
    count = count_parameters(model, model.vocab_size)
    total, active, without_tables = SIZES[name]
    tables = (1 if model.tie_word_embeddings else 2) * model.vocab_size * model.hidden_size
    assert count.total == total
    assert count.active == pytest.approx(active, rel=0.02)
    assert count.total - tables == pytest.approx(without_tables, rel=0.01)


def test_the_tiny_moe_fits_the_papers_layout():
    check_model_fits(MAGICAGENT_LAYOUT, recipe("qwen3_moe_tiny"), sequence_length=1024)


def test_transformers_5_nests_and_renames():
    model = recipe("qwen3_moe_tiny")
    config = huggingface_config(model, vocab_size=640, dtype="float32", bos=None, eos=1)
    config["rope_parameters"] = {"rope_type": "default", "rope_theta": config.pop("rope_theta")}
    config["num_local_experts"] = config.pop("num_experts")
    assert model_config(config, name=model.name) == dataclasses.replace(model, vocab_size=640)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "llama"}, "model_type=llama: unknown architecture; choose a model of qwen2"),
        ({"rope_scaling": {"type": "yarn"}}, "rope_scaling="),
        ({"mlp_only_layers": [0]}, "mlp_only_layers=[0]"),
        ({"decoder_sparse_step": 2}, "decoder_sparse_step=2"),
        ({"use_sliding_window": True}, "use_sliding_window=True"),
        ({"attention_bias": True}, "attention_bias=true"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6}}, "rope_type=yarn"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantization_config="),
        ({"hidden_size": None}, "hidden_size: missing"),
        ({"rope_theta": None}, "rope_theta: missing"),
    ],
)
def test_a_config_that_cannot_be_trained_is_refused(change, message):
    config = huggingface_config(recipe("qwen3_moe_tiny"), vocab_size=640, dtype="float32", bos=None, eos=1)
    with pytest.raises(InputError) as refusal:
        model_config({**config, **change}, name="x")
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    "change",
    [
        {"attention_bias": True},
        {"qk_norm": False},
        {"attention_bias": True, "qk_norm": False, "num_experts": 8},
    ],
)
def test_a_model_without_a_published_architecture_is_refused(change):
    model = dataclasses.replace(recipe("qwen3_tiny"), **change)
    with pytest.raises(InputError, match=r"model\.attention_bias="):
        huggingface_config(model, vocab_size=640, dtype="float32", bos=None, eos=1)


def test_heads_that_qwen2_5_cannot_have_are_refused():
    model = dataclasses.replace(recipe("qwen2_5_tiny"), head_dim=64)
    with pytest.raises(InputError, match=r"model\.head_dim=64: .* set model\.head_dim to that"):
        huggingface_config(model, vocab_size=640, dtype="float32", bos=None, eos=1)


def test_unknown_tokens_are_left_out_of_the_generation_config():
    assert generation_config(bos=None, eos=3, pad=None) == {"eos_token_id": 3}
