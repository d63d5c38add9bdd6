"""The loss over learned tokens alone against the one over all tokens: values and every weight's gradient."""

import pytest
import torch
import torch.distributed as dist

from magic_megatron.platform import activate

activate("rehearsal")

from megatron.core import parallel_state  # noqa: E402
from megatron.core.tensor_parallel.random import model_parallel_cuda_manual_seed  # noqa: E402

from magic_megatron.config.layout import ParallelConfig  # noqa: E402
from magic_megatron.config.model import ModelConfig  # noqa: E402
from magic_megatron.models.gpt import build_model, learned_token_losses  # noqa: E402
from magic_megatron.models.initialization import initialize_weights  # noqa: E402
from magic_megatron.models.transformer_config import transformer_config  # noqa: E402
from magic_megatron.platform.specs import decoder_block_spec  # noqa: E402
from recipes.command import compose, typed  # noqa: E402

VOCABULARY, LENGTH = 96, 24


@pytest.fixture(autouse=True)
def one_process():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    parallel_state.initialize_model_parallel()
    model_parallel_cuda_manual_seed(1)
    yield
    parallel_state.destroy_model_parallel()
    dist.destroy_process_group()


def tiny_model(*changes):
    recipe = compose("sft", ["model=qwen3_tiny", *changes, "output_dir=-"])
    model, parallel = typed(ModelConfig, recipe.model), typed(ParallelConfig, recipe.parallel)
    core = transformer_config(
        model, parallel, "rehearsal", torch.float32, recompute="none", moe_capacity_factor=None
    )
    chunk = build_model(
        model,
        core,
        decoder_block_spec(core, "rehearsal"),
        vocab_size=VOCABULARY,
        sequence_length=LENGTH,
        pre_process=True,
        post_process=True,
    )
    initialize_weights(chunk, seed=3)
    return chunk


def loss_and_gradients(model, loss_mask, **how):
    generator = torch.Generator().manual_seed(4)
    tokens, labels = torch.randint(0, VOCABULARY, (2, 1, LENGTH), generator=generator)
    model.zero_grad()
    losses = model(tokens, torch.arange(LENGTH)[None], None, labels=labels, loss_mask=loss_mask, **how)
    loss = (losses * loss_mask).sum()
    loss.backward()
    return losses.detach() * loss_mask, {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("tied", ["false", "true"])
@pytest.mark.parametrize("learned", [slice(0, 0), slice(17, 18), slice(5, 20), slice(0, LENGTH)])
def test_the_loss_is_that_over_all_tokens(learned, tied):
    model = tiny_model(f"model.tie_word_embeddings={tied}")
    loss_mask = torch.zeros(1, LENGTH)
    loss_mask[:, learned] = 1
    losses, gradients = loss_and_gradients(model, loss_mask, output_processor=learned_token_losses)
    expected_losses, expected = loss_and_gradients(model, loss_mask)
    torch.testing.assert_close(losses, expected_losses)
    torch.testing.assert_close(gradients, expected)


def test_the_output_layer_sees_learned_tokens_only():
    model, seen = tiny_model(), []
    model.output_layer.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].shape[0]))
    loss_mask = torch.zeros(1, LENGTH)
    loss_mask[:, [3, 9, 10]] = 1
    loss_and_gradients(model, loss_mask, output_processor=learned_token_losses)
    assert seen == [3]
