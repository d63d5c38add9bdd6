"""Step time with our router and its global losses, over that with Megatron-Core's own ``aux_loss`` and z-loss.

Two models of the same weights in the same processes (data and expert parallel), a step of one and then of the other,
forward, backward and optimizer; the median over pairs. Ours also counts what it logs: loads, MaxVio and choices by
domain. The model is Qwen3-30B-A3B's layer with an eighth of its width.

    python benchmarks/router.py [--full]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

NUM_PROCESSES = 2
TARGET = 1.02
SEQUENCE_LENGTH = 1024
MODEL = {
    "num_hidden_layers": 2,
    "hidden_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "num_experts": 16,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 192,
    "vocab_size": 4096,
}
NUM_MICROBATCHES = 2


def measure(num_pairs: int) -> None:
    """Run by each process."""
    from magic_megatron import platform

    platform.activate("rehearsal")
    import torch.distributed as dist

    from magic_megatron.config.sft import SftConfig
    from magic_megatron.sft.processes import distributed, model_parallel
    from recipes.command import compose, typed

    recipe = compose(
        "sft",
        [
            "platform=rehearsal",
            f"parallel.ep={NUM_PROCESSES}",
            *(f"model.{key}={value}" for key, value in MODEL.items()),
            f"data.sequence_length={SEQUENCE_LENGTH}",
            "data.path=none",
            "output_dir=none",
        ],
    )
    config = typed(SftConfig, recipe)
    with distributed(config.platform), model_parallel(config.parallel, seed=0):
        ours, stock = build(config, balanced=True), build(config, balanced=False)
        pairs = []
        for number in range(num_pairs + 3):
            first, second = (ours, stock) if number % 2 else (stock, ours)
            times = {first: timed(first), second: timed(second)}
            pairs.append((times[ours], times[stock]))
        if dist.get_rank() == 0:
            print(json.dumps(pairs[3:]))


def timed(step: Callable[[], None]) -> float:
    import torch.distributed as dist

    dist.barrier()
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def build(config, *, balanced: bool) -> Callable[[], None]:  # noqa: ANN001
    """A step of a model with our router, or with upstream's."""
    import torch
    from megatron.core.distributed import finalize_model_grads

    from magic_megatron.models.gpt import build_model
    from magic_megatron.models.initialization import initialize_weights
    from magic_megatron.moe.router import BatchSize, RouterStatistics, use_balanced_router
    from magic_megatron.platform.specs import decoder_block_spec
    from magic_megatron.sft.build import build_optimizer, core_config, wrap
    from magic_megatron.sft.step import ForwardBackward

    core = core_config(config)
    if not balanced:
        core.moe_router_load_balancing_type = "aux_loss"
        core.moe_aux_loss_coeff, core.moe_z_loss_coeff = config.moe.aux_loss_coeff, config.moe.z_loss_coeff
    spec = decoder_block_spec(core, "rehearsal")
    if balanced:
        use_balanced_router(spec)
    chunk = build_model(
        config.model,
        core,
        spec,
        vocab_size=MODEL["vocab_size"],
        sequence_length=SEQUENCE_LENGTH,
        pre_process=True,
        post_process=True,
    )
    initialize_weights(chunk, seed=0)
    ddp = wrap(chunk, core, config)
    optimizer = build_optimizer(config, ddp)
    core.finalize_model_grads_func = finalize_model_grads
    core.grad_scale_func = optimizer.scale_loss
    router = RouterStatistics([ddp], config.moe, num_domains=5) if balanced else None
    forward_backward = ForwardBackward([ddp], router, SEQUENCE_LENGTH)
    batches = [microbatch(torch.Generator().manual_seed(n)) for n in range(NUM_MICROBATCHES)]
    num_batches = NUM_MICROBATCHES * NUM_PROCESSES
    num_tokens = num_batches * int(batches[0].token_mask.sum())
    size = BatchSize(num_tokens, num_tokens, num_batches, num_batches * batches[0].num_sequences)

    def step() -> None:
        if router is not None:
            router.begin_step(size, NUM_MICROBATCHES)
            if router.needs_statistics_pass:
                with router.counting():
                    forward_backward(batches, forward_only=True)
        ddp.zero_grad_buffer()
        optimizer.zero_grad()
        forward_backward(batches)
        if router is not None:
            router.end_step()
        optimizer.step()

    return step


def microbatch(generator):  # noqa: ANN001, ANN201
    """A pack of eight rows."""
    import torch

    from magic_megatron.data.batch import collate
    from magic_megatron.data.dataset import Pack

    rows, length = 8, SEQUENCE_LENGTH // 8
    tokens = torch.randint(0, MODEL["vocab_size"], (SEQUENCE_LENGTH,), generator=generator)
    starts = torch.arange(0, SEQUENCE_LENGTH + 1, length, dtype=torch.int32)
    pack = Pack(
        tokens=tokens,
        labels=tokens.roll(-1),
        loss_mask=torch.ones(SEQUENCE_LENGTH),
        position_ids=torch.arange(length).repeat(rows),
        token_mask=torch.ones(SEQUENCE_LENGTH, dtype=torch.bool),
        domain_ids=torch.arange(rows).repeat_interleave(length) % 5,
        cu_seqlens_padded=starts,
        max_seqlen=length,
    )
    return collate([pack])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="200 pairs in place of 30")
    num_pairs = 200 if parser.parse_args().full else 30
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={NUM_PROCESSES}",
    ]
    done = subprocess.run(
        [*torchrun, __file__],
        env=os.environ | {"OMP_NUM_THREADS": "1", "ROUTER_BENCHMARK_PAIRS": str(num_pairs)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    pairs = json.loads(done.stdout.splitlines()[-1])
    ours, stock = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = sorted(a / b for a, b in pairs)
    ratio = statistics.median(ratios)
    low, high = ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]
    print(f"megatron-core {version('megatron-core')}, torch {version('torch')}; {len(pairs)} pairs of steps")
    print(
        f"ours {ours:.4f} s, aux_loss and z-loss {stock:.4f} s; ratio {ratio:.4f}, middle half {low:.4f} to {high:.4f}"
    )
    print(
        json.dumps(
            {
                "name": "step time, our router over aux_loss",
                "ratio": round(ratio, 4),
                "target": TARGET,
                "better": "lower",
                "ours": round(ours, 4),
                "baseline": round(stock, 4),
                "unit": "s",
            }
        )
    )


if __name__ == "__main__":
    if "ROUTER_BENCHMARK_PAIRS" in os.environ:
        measure(int(os.environ["ROUTER_BENCHMARK_PAIRS"]))
    else:
        main()
