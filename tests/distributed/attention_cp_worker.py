"""``python attention_cp_worker.py FOLDER CP…``: gloo ranks compare their share with the formula.

The ranks are forked from one interpreter, so that Megatron-Core is imported once.
"""

import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from magic_megatron.platform import activate

activate("rehearsal")

from test_attention import (  # noqa: E402
    CHANNELS,
    GROUPS,
    HEADS,
    AttnMaskType,
    ProcessGroupCollection,
    RehearsalAttention,
    TransformerConfig,
    packed,
    paper_attention,
    random_inputs,
)

from magic_megatron.data.context_parallel import partition_indices  # noqa: E402

BOUNDARIES = {"packed": (0, 8, 40, 48), "one row": (0, 32)}


def check(rank, cp_size, store):
    dist.init_process_group("gloo", store=dist.FileStore(store, cp_size), rank=rank, world_size=cp_size)
    config = TransformerConfig(
        num_layers=1,
        hidden_size=HEADS * CHANNELS,
        num_attention_heads=HEADS,
        num_query_groups=GROUPS,
        attention_dropout=0.0,
        context_parallel_size=cp_size,
    )
    attention = RehearsalAttention(
        config, 1, AttnMaskType.causal, "self", pg_collection=ProcessGroupCollection(cp=dist.group.WORLD)
    )
    for name, boundaries in BOUNDARIES.items():
        inputs = random_inputs(boundaries[-1])
        expected = paper_attention(*inputs, boundaries)
        weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        wanted = torch.autograd.grad((expected * weight).sum(), inputs)

        held = partition_indices(torch.tensor(boundaries), cp_size, rank)
        mine = [x.detach()[held].requires_grad_() for x in inputs]
        if name == "packed":
            out = attention(*mine, None, packed_seq_params=packed(boundaries))
        else:
            out = attention(*(x[:, None] for x in mine), None)
        out = out.reshape(len(held), HEADS, CHANNELS)
        torch.testing.assert_close(out, expected[held], rtol=0, atol=1e-12)
        for gradient, whole in zip(
            torch.autograd.grad((out * weight[held]).sum(), mine), wanted, strict=True
        ):
            torch.testing.assert_close(gradient, whole[held], rtol=0, atol=1e-12)
    dist.destroy_process_group()


if __name__ == "__main__":
    for cp_size in map(int, sys.argv[2:]):
        store = f"{sys.argv[1]}/store_{cp_size}"
        mp.start_processes(check, args=(cp_size, store), nprocs=cp_size, start_method="fork")
        print(f"cp={cp_size}: equal")
