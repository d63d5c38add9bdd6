"""transformer-engine's layers and the router's losses on one GPU, against their rehearsal."""

import pytest
import torch
import torch.distributed as dist

from magic_megatron.platform import activate, detect

activate(detect())

from megatron.core import parallel_state  # noqa: E402
from megatron.core.packed_seq_params import PackedSeqParams  # noqa: E402
from megatron.core.tensor_parallel.random import model_parallel_cuda_manual_seed  # noqa: E402
from megatron.core.transformer.enums import AttnMaskType  # noqa: E402

from magic_megatron.config.layout import ParallelConfig  # noqa: E402
from magic_megatron.config.model import ModelConfig  # noqa: E402
from magic_megatron.models.gpt import build_model, learned_token_losses  # noqa: E402
from magic_megatron.models.initialization import initialize_weights  # noqa: E402
from magic_megatron.models.transformer_config import transformer_config  # noqa: E402
from magic_megatron.moe.balance import load_balancing_loss, selection_fractions, z_loss  # noqa: E402
from magic_megatron.platform.attention import attend, attention_plan  # noqa: E402
from magic_megatron.platform.specs import decoder_block_spec  # noqa: E402
from recipes.command import compose, typed  # noqa: E402

pytestmark = pytest.mark.gpu

VOCABULARY, BOUNDARIES = 512, (0, 40, 104, 256)  # the rows' padding included, as MicroBatch tells it


@pytest.fixture(autouse=True)
def one_process(cuda_device):
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    parallel_state.initialize_model_parallel()
    model_parallel_cuda_manual_seed(1)
    yield
    parallel_state.destroy_model_parallel()
    dist.destroy_process_group()


def packed(device):
    starts = torch.tensor(BOUNDARIES, dtype=torch.int32, device=device)
    longest = int(starts.diff().max())
    return PackedSeqParams(
        qkv_format="thd",
        cu_seqlens_q=starts,
        cu_seqlens_kv=starts,
        cu_seqlens_q_padded=starts,
        cu_seqlens_kv_padded=starts,
        max_seqlen_q=longest,
        max_seqlen_kv=longest,
    )


def losses_of(spec_of, recipe, device):
    """Token losses of the twin with transformer-engine's or local layers, bf16, drawn from the same seed."""
    config = compose("sft", [f"model={recipe}", "output_dir=-"])
    model, parallel = typed(ModelConfig, config.model), typed(ParallelConfig, config.parallel)
    core = transformer_config(
        model, parallel, "cuda", torch.bfloat16, recompute="none", moe_capacity_factor=None
    )
    core.moe_grouped_gemm = spec_of == "cuda"
    chunk = build_model(
        model,
        core,
        decoder_block_spec(core, spec_of),
        vocab_size=VOCABULARY,
        sequence_length=BOUNDARIES[-1],
        pre_process=True,
        post_process=True,
    ).to(device)
    initialize_weights(chunk, seed=0)
    generator = torch.Generator().manual_seed(2)
    tokens, labels = torch.randint(0, VOCABULARY, (2, 1, BOUNDARIES[-1]), generator=generator).to(device)
    starts = torch.tensor(BOUNDARIES[:-1]).repeat_interleave(torch.tensor(BOUNDARIES).diff())
    positions = (torch.arange(BOUNDARIES[-1]) - starts)[None].to(device)
    loss_mask = torch.ones(1, BOUNDARIES[-1], device=device)
    return chunk(
        tokens,
        positions,
        None,
        labels=labels,
        loss_mask=loss_mask,
        packed_seq_params=packed(device),
        output_processor=learned_token_losses,
    ).float()


@pytest.mark.parametrize("recipe", ["qwen3_tiny", "qwen3_moe_tiny"])
def test_transformer_engines_layers_give_the_loss_of_local_ones(recipe, cuda_device):
    ours, theirs = (losses_of(spec, recipe, cuda_device).mean() for spec in ("rehearsal", "cuda"))
    assert theirs.item() == pytest.approx(ours.item(), rel=1e-2)


def test_packed_attention_is_that_of_rehearsal(cuda_device):
    heads, groups, channels = 8, 4, 32
    config = compose("sft", ["model=qwen3_tiny", "output_dir=-"])
    model, parallel = typed(ModelConfig, config.model), typed(ParallelConfig, config.parallel)
    core = transformer_config(
        model, parallel, "cuda", torch.bfloat16, recompute="none", moe_capacity_factor=None
    )
    attention = decoder_block_spec(core, "cuda").layer_specs[0].submodules.self_attention.submodules
    flash = attention.core_attention(
        config=core, layer_number=1, attn_mask_type=AttnMaskType.padding_causal, attention_type="self"
    )
    generator = torch.Generator().manual_seed(3)
    query = torch.randn(BOUNDARIES[-1], heads, channels, generator=generator).to(cuda_device, torch.bfloat16)
    key, value = torch.randn(2, BOUNDARIES[-1], groups, channels, generator=generator).to(
        cuda_device, torch.bfloat16
    )
    found = flash(
        query,
        key,
        value,
        attention_mask=None,
        attn_mask_type=AttnMaskType.padding_causal,
        packed_seq_params=packed(cuda_device),
    )
    expected = attend(
        *(x.float().cpu().unsqueeze(1) for x in (query, key, value)),
        attention_plan(BOUNDARIES, 1, 0),
        channels**-0.5,
    )
    torch.testing.assert_close(found.float().cpu().reshape(-1), expected.reshape(-1), rtol=2e-2, atol=2e-2)


def test_router_losses_and_their_gradients_are_those_of_the_cpu(cuda_device):
    logits = torch.randn(96, 8, generator=torch.Generator().manual_seed(4))

    def losses(device):
        leaf = logits.to(device).requires_grad_()
        counts = torch.zeros_like(leaf).scatter(1, leaf.topk(2).indices, 1.0).sum(dim=0, keepdim=True)
        probs = leaf.softmax(dim=-1)
        balance = load_balancing_loss(probs.sum(dim=0, keepdim=True), selection_fractions(counts), 96, 1)
        z = z_loss(leaf.logsumexp(dim=-1), 96, torch.ones(96, device=device))
        (balance + z).backward()
        return balance.detach().cpu(), z.detach().cpu(), leaf.grad.cpu()

    torch.testing.assert_close(losses(cuda_device), losses("cpu"))
