"""What Megatron-Core is told about a model, a layout and a platform."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from magic_megatron.config.layout import ParallelConfig
from magic_megatron.config.model import ModelConfig
from magic_megatron.platform import activate
from recipes.command import InputError, compose, typed

activate("rehearsal")

from magic_megatron.models.gpt import vocabulary_size  # noqa: E402
from magic_megatron.models.transformer_config import transformer_config  # noqa: E402

ONE = ParallelConfig(tp=1, pp=1, cp=1, ep=1, etp=1, sequence_parallel=None)


def recipe(name: str) -> ModelConfig:
    return typed(ModelConfig, compose("sft", [f"model={name}", "output_dir=-"]).model)


def configure(name="qwen3_moe_tiny", parallel=ONE, platform="rehearsal", dtype=torch.float32, **given):
    model = name if isinstance(name, ModelConfig) else recipe(name)
    options = {"recompute": "none", "moe_capacity_factor": None, **given}
    return transformer_config(model, parallel, platform, dtype, **options)


@pytest.mark.parametrize("name", ["qwen3_30b_a3b", "qwen3_32b", "qwen2_5_7b"])
def test_a_published_model_is_described_in_full(name):
    model, config = recipe(name), configure(name)
    assert config.kv_channels == 128 and config.num_query_groups == model.num_key_value_heads
    assert config.num_layers == model.num_hidden_layers and config.hidden_size == model.hidden_size
    assert config.activation_func is F.silu and config.gated_linear_unit
    assert config.normalization == "RMSNorm" and config.layernorm_epsilon == 1e-6
    assert not config.add_bias_linear and config.add_qkv_bias == (name == "qwen2_5_7b")
    assert config.qk_layernorm == (name != "qwen2_5_7b")
    assert config.num_moe_experts == (128 if name == "qwen3_30b_a3b" else None)
    assert config.hidden_dropout == config.attention_dropout == 0


def test_the_router_is_left_to_ours():
    config = configure()
    assert config.moe_router_load_balancing_type == "none"
    assert config.moe_aux_loss_coeff == 0 and config.moe_z_loss_coeff is None
    assert config.moe_router_dtype == "fp32" and config.calculate_per_token_loss


@pytest.mark.parametrize("normalised", [True, False])
def test_softmax_before_the_choice_unless_probabilities_are_renormalised(normalised):
    model = dataclasses.replace(recipe("qwen3_moe_tiny"), norm_topk_prob=normalised)
    assert configure(model).moe_router_pre_softmax is not normalised


def test_one_expert_a_token_with_constant_probability_is_refused():
    model = dataclasses.replace(recipe("qwen3_moe_tiny"), num_experts_per_tok=1)
    with pytest.raises(InputError, match=r"model\.norm_topk_prob=true: .*; set model\.norm_topk_prob=false"):
        configure(model)
    assert configure(dataclasses.replace(model, norm_topk_prob=False)).moe_router_topk == 1


def test_the_layout_reaches_megatron():
    parallel = ParallelConfig(tp=4, pp=2, cp=2, ep=4, etp=1, sequence_parallel=None)
    config = configure(parallel=parallel)
    sizes = (
        config.tensor_model_parallel_size,
        config.pipeline_model_parallel_size,
        config.context_parallel_size,
        config.expert_model_parallel_size,
        config.expert_tensor_parallel_size,
    )
    assert sizes == (4, 2, 2, 4, 1)
    assert config.sequence_parallel and not configure().sequence_parallel


KERNELS = ("moe_grouped_gemm", "bias_activation_fusion", "apply_rope_fusion", "cross_entropy_loss_fusion")


def test_rehearsal_has_no_kernels():
    config = configure()
    assert not any(getattr(config, key) for key in KERNELS)
    assert not config.bf16 and config.params_dtype is config.pipeline_dtype is torch.float32
    assert configure(dtype=torch.bfloat16).bf16


@pytest.mark.gpu
def test_cuda_has_kernels():
    config = configure(platform="cuda", dtype=torch.bfloat16)
    assert all(getattr(config, key) for key in KERNELS)
    assert config.bf16 and config.params_dtype is config.pipeline_dtype is torch.bfloat16


def test_recompute_and_capacity():
    full = configure(recompute="full", moe_capacity_factor=1.5)
    assert (full.recompute_granularity, full.recompute_method, full.recompute_num_layers) == (
        "full",
        "uniform",
        1,
    )
    assert full.moe_expert_capacity_factor == 1.5
    assert configure().recompute_granularity is None and configure().moe_expert_capacity_factor is None


def test_the_vocabulary_is_the_models_or_the_tokenizers():
    assert vocabulary_size(recipe("qwen3_moe_tiny"), tokenizer_length=640, tp=4) == 640
    assert vocabulary_size(recipe("qwen3_32b"), tokenizer_length=151669, tp=4) == 151936


@pytest.mark.parametrize(
    ("name", "length", "tp", "message"),
    [
        ("qwen3_32b", 151937, 1, r"model\.vocab_size=151936: the tokenizer has 151937 tokens"),
        ("qwen3_moe_tiny", 641, 2, r"parallel\.tp=2: must divide the vocabulary of 641; use a tokenizer"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused(name, length, tp, message):
    with pytest.raises(InputError, match=message):
        vocabulary_size(recipe(name), tokenizer_length=length, tp=tp)
