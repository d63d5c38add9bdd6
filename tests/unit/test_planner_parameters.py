"""Numbers of parameters: of published models, and of transformers' and Megatron-Core's shapes."""

import itertools
import math

import pytest

from magic_megatron.config.layout import ParallelConfig
from magic_megatron.config.model import ModelConfig
from magic_megatron.models.huggingface import all_weights, weight_shape
from magic_megatron.planner.parameters import count_parameters, stage_parameters
from recipes.command import compose, typed

# Billions, total and active, as Qwen's model cards have them.
PUBLISHED = {
    "qwen3_30b_a3b": (30.5, 3.3),
    "qwen3_32b": (32.8, 32.8),
    "qwen3_14b": (14.8, 14.8),
    "qwen3_8b": (8.2, 8.2),
    "qwen3_4b": (4.0, 4.0),
    "qwen2_5_7b": (7.61, 7.61),
    "qwen2_5_3b": (3.09, 3.09),
}
SPLITS = [
    *itertools.product(["qwen3_moe_tiny"], [1, 2, 4], [1, 2], [1, 2, 4]),
    *itertools.product(["qwen3_tiny"], [1, 2, 4], [1, 2], [1]),
    *itertools.product(["qwen2_5_tiny"], [1, 2], [1, 2], [1]),
]
TINY = ("qwen3_moe_tiny", "qwen3_tiny", "qwen2_5_tiny")


def recipe(name: str) -> ModelConfig:
    return typed(ModelConfig, compose("plan", [f"model={name}"]).model)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_have_their_published_size(name):
    model = recipe(name)
    count = count_parameters(model, model.vocab_size)
    total, active = PUBLISHED[name]
    assert count.total / 1e9 == pytest.approx(total, abs=0.05)
    assert count.active / 1e9 == pytest.approx(active, abs=0.06)
    assert (count.total == count.active) is not model.is_moe


@pytest.mark.parametrize("name", [*PUBLISHED, *TINY])
def test_the_total_is_that_of_all_shapes(name):
    """The shapes by which weights are converted to and from Hugging Face's."""
    model = recipe(name)
    vocabulary = model.vocab_size or 640
    sizes = [math.prod(weight_shape(weight, model, vocabulary)) for weight in all_weights(model)]
    assert count_parameters(model, vocabulary).total == sum(sizes)


@pytest.mark.parametrize(("name", "tp", "pp", "ep"), SPLITS)
def test_ranks_together_hold_the_model(name, tp, pp, ep):
    """Norms and routers are on every tensor-parallel rank; tied tables on both end stages."""
    model = recipe(name)
    parallel = ParallelConfig(tp, pp, 1, ep, 1, None)
    stages = [stage_parameters(model, 640, parallel, 4, stage) for stage in range(pp)]
    norms = 2 * model.hidden_size + 2 * model.qk_norm * model.head_dim
    repeated = model.num_hidden_layers * (norms + model.num_experts * model.hidden_size) + model.hidden_size
    held = sum(tp * stage.shared + ep * stage.experts for stage in stages)
    if ep == 1 and tp == 1:
        assert all(stage.experts == 0 for stage in stages)
    copies = 640 * model.hidden_size if model.tie_word_embeddings and pp == 2 else 0
    assert held == count_parameters(model, 640).total + (tp - 1) * repeated + copies
