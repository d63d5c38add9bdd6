"""Megatron-Core under the redirections in one process: layer specs, and the distributed optimizer's checkpoints."""

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from magic_megatron.platform import activate

activate("rehearsal")

from megatron.core import dist_checkpointing, parallel_state  # noqa: E402
from megatron.core.distributed import (  # noqa: E402
    DistributedDataParallel,
    DistributedDataParallelConfig,
    finalize_model_grads,
)
from megatron.core.models.gpt import GPTModel  # noqa: E402
from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer  # noqa: E402
from megatron.core.packed_seq_params import PackedSeqParams  # noqa: E402
from megatron.core.tensor_parallel.random import model_parallel_cuda_manual_seed  # noqa: E402
from megatron.core.transformer.moe.router import TopKRouter  # noqa: E402
from megatron.core.transformer.transformer_config import TransformerConfig  # noqa: E402

from magic_megatron.platform.attention import RehearsalAttention  # noqa: E402
from magic_megatron.platform.norm import RehearsalRMSNorm  # noqa: E402
from magic_megatron.platform.specs import decoder_block_spec, set_router  # noqa: E402

VOCABULARY, LENGTH = 32, 16
METADATA = {"distrib_optim_sharding_type": "fully_reshardable"}


@pytest.fixture(autouse=True)
def one_process():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    parallel_state.initialize_model_parallel()
    model_parallel_cuda_manual_seed(1)
    yield
    parallel_state.destroy_model_parallel()
    dist.destroy_process_group()


def tiny_config(**changes):
    values = {
        "num_layers": 2,
        "hidden_size": 32,
        "num_attention_heads": 4,
        "num_query_groups": 2,
        "ffn_hidden_size": 48,
        "moe_ffn_hidden_size": 24,
        "num_moe_experts": 4,
        "moe_router_topk": 2,
        "moe_router_load_balancing_type": "none",
        "moe_token_dispatcher_type": "alltoall",
        "qk_layernorm": True,
        "normalization": "RMSNorm",
        "gated_linear_unit": True,
        "activation_func": F.silu,
        "add_bias_linear": False,
        "attention_dropout": 0.0,
        "hidden_dropout": 0.0,
        "bias_activation_fusion": False,
        "bias_dropout_fusion": False,
        "gradient_accumulation_fusion": False,
        "apply_rope_fusion": False,
        "use_cpu_initialization": True,
        "calculate_per_token_loss": True,
    }
    return TransformerConfig(**(values | changes))


class Run:
    """A model with its distributed optimizer, drawn from a seed."""

    def __init__(self, seed):
        config = tiny_config()
        config.finalize_model_grads_func = finalize_model_grads
        torch.manual_seed(seed)
        self.gpt = GPTModel(
            config,
            decoder_block_spec(config, "rehearsal"),
            vocab_size=VOCABULARY,
            max_sequence_length=LENGTH,
            position_embedding_type="rope",
        )
        ddp = DistributedDataParallelConfig(use_distributed_optimizer=True, grad_reduce_in_fp32=True)
        self.model = DistributedDataParallel(config, ddp, self.gpt)
        self.optimizer = get_megatron_optimizer(
            OptimizerConfig(optimizer="adam", lr=1e-2, weight_decay=0.1, use_distributed_optimizer=True),
            [self.model],
        )

    def step(self, seed):
        tokens = torch.randint(0, VOCABULARY, (1, LENGTH + 1), generator=torch.Generator().manual_seed(seed))
        cu_seqlens = torch.tensor([0, 6, LENGTH], dtype=torch.int32)
        packed = PackedSeqParams(
            qkv_format="thd",
            cu_seqlens_q=cu_seqlens,
            cu_seqlens_kv=cu_seqlens,
            max_seqlen_q=10,
            max_seqlen_kv=10,
        )
        self.model.zero_grad_buffer()
        self.optimizer.zero_grad()
        positions = torch.arange(LENGTH)[None]
        losses = self.model(tokens[:, :-1], positions, None, labels=tokens[:, 1:], packed_seq_params=packed)
        losses.mean().backward()
        self.optimizer.step()
        return losses.mean().item()

    def sharded(self, is_loading):
        model = self.gpt.sharded_state_dict()
        optimizer = self.optimizer.sharded_state_dict(model, is_loading=is_loading, metadata=METADATA)
        return {"model": model, "optimizer": optimizer}

    def save(self, folder):
        folder.mkdir()
        dist_checkpointing.save(self.sharded(is_loading=False), str(folder))

    def load(self, folder):
        state = dist_checkpointing.load(self.sharded(is_loading=True), str(folder))
        self.gpt.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def weights(self):
        return [p.detach().clone() for p in self.gpt.parameters()]

    def adam_steps(self):
        return [
            state["step"] for o in self.optimizer.chained_optimizers for state in o.optimizer.state.values()
        ]


def equal(ours, theirs):
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path):
    run = Run(seed=1)
    run.step(1)
    run.step(2)
    run.save(tmp_path / "checkpoint")
    expected = run.step(3), run.step(4)

    resumed = Run(seed=9)
    resumed.load(tmp_path / "checkpoint")
    assert (resumed.step(3), resumed.step(4)) == expected
    assert equal(resumed.weights(), run.weights())


def test_every_parameter_has_a_step_tensor_of_its_own_after_loading(tmp_path):
    run = Run(seed=1)
    run.step(1)
    run.save(tmp_path / "checkpoint")
    resumed = Run(seed=9)
    resumed.load(tmp_path / "checkpoint")
    steps = resumed.adam_steps()
    assert len({step.data_ptr() for step in steps}) == len(steps) > 1
    resumed.step(2)
    assert {step.item() for step in resumed.adam_steps()} == {2.0}


def test_a_run_is_saved_before_its_first_step_and_goes_on_as_if_it_was_not(tmp_path):
    run, undisturbed = Run(seed=1), Run(seed=1)
    before = run.weights()
    run.save(tmp_path / "checkpoint")
    assert equal(run.weights(), before)
    assert {step.item() for step in run.adam_steps()} == {0.0}
    assert [run.step(1), run.step(2)] == [undisturbed.step(1), undisturbed.step(2)]
    assert equal(run.weights(), undisturbed.weights())


def test_saving_starts_no_interpreter(tmp_path):
    """The helper that collects results is forked, and ends with its parent."""
    import psutil

    run = Run(seed=1)
    run.save(tmp_path / "checkpoint")
    commands = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    assert not [command for command in commands if "multiprocessing.spawn" in command]


def test_the_rehearsal_spec_is_made_of_our_modules_and_upstream_s_layers():
    config = tiny_config(moe_layer_freq=[0, 1])
    block = decoder_block_spec(config, "rehearsal")
    assert block.layer_norm is RehearsalRMSNorm
    gpt = GPTModel(config, block, vocab_size=VOCABULARY, max_sequence_length=LENGTH)
    dense, experts = gpt.decoder.layers
    for layer in (dense, experts):
        assert isinstance(layer.self_attention.core_attention, RehearsalAttention)
        norms = layer.input_layernorm, layer.pre_mlp_layernorm, layer.self_attention.q_layernorm
        assert all(isinstance(norm, RehearsalRMSNorm) for norm in norms)
    assert not hasattr(dense.mlp, "router")
    assert type(experts.mlp.router) is TopKRouter


def test_a_router_is_put_into_every_expert_layer():
    class OtherRouter(TopKRouter):
        pass

    config = tiny_config(moe_layer_freq=[0, 1], qk_layernorm=False)
    block = decoder_block_spec(config, "rehearsal")
    set_router(block, OtherRouter)
    gpt = GPTModel(config, block, vocab_size=VOCABULARY, max_sequence_length=LENGTH)
    assert type(gpt.decoder.layers[1].mlp.router) is OtherRouter
    fresh = decoder_block_spec(config, "rehearsal")
    gpt = GPTModel(config, fresh, vocab_size=VOCABULARY, max_sequence_length=LENGTH)
    assert type(gpt.decoder.layers[1].mlp.router) is TopKRouter


@pytest.mark.parametrize("sequence_parallel", [False, True])
def test_norms_are_the_formula_and_carry_the_mark_of_sequence_parallelism(sequence_parallel):
    config = tiny_config()
    config.sequence_parallel = sequence_parallel
    norm = RehearsalRMSNorm(config, 8, eps=1e-6)
    norm.weight.data.uniform_(0.5, 1.5)
    x = torch.randn(3, 8)
    expected = x / (x.pow(2).sum(-1, keepdim=True) / 8 + 1e-6).sqrt() * norm.weight
    torch.testing.assert_close(norm(x), expected)
    assert norm.weight.sequence_parallel is sequence_parallel
