"""Tokens per second and MFU on one GPU: four layers of Qwen3-30B-A3B at full width, ours and two others.

Ours is the step of `magic_megatron.sft`: transformer-engine's layers, grouped GEMM, the balanced router, the output
layer where tokens are learned. Against it Megatron-Core's own router with `aux_loss` and z-loss on the same layers and
all tokens' logits, and transformers' Qwen3MoeForCausalLM with AdamW on bf16 weights alone, which saves it the fp32
copies that the others keep. Packs of random rows, a quarter of each row learned, bf16. MFU by
`magic_megatron.planner.flops`, which counts every token's logits for all three.

Without CUDA it says so and ends with status 2, and measures nothing.

    python benchmarks/sft_gpu.py [--cluster h200]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

WARM_UP, STEPS = 3, 10
FULL = ["model=qwen3_30b_a3b", "model.num_hidden_layers=4", "platform=cuda", "data.sequence_length=8192"]
TINY = ["model=qwen3_moe_tiny", "model.vocab_size=512", "platform=rehearsal", "data.sequence_length=256"]
ROWS_A_PACK, LEARNED = 8, 4


def main() -> None:
    """Measure and end with a line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cluster", default="h200", help="entry of recipes/cluster, for the peak of MFU")
    parser.add_argument("--rehearse", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "1")

    import torch

    from magic_megatron import platform

    if not arguments.rehearse and not torch.cuda.is_available():
        print("sft_gpu: torch finds no CUDA device here; run it on a machine with a GPU", file=sys.stderr)
        raise SystemExit(2)
    platform.activate("rehearsal" if arguments.rehearse else "cuda")

    from magic_megatron.config.sft import SftConfig
    from magic_megatron.sft.processes import distributed, model_parallel
    from recipes.command import compose, typed

    keys = [*(TINY if arguments.rehearse else FULL), f"cluster={arguments.cluster}"]
    config = typed(SftConfig, compose("sft", [*keys, "data.path=none", "output_dir=none"]))
    print(
        f"megatron-core {version('megatron-core')}, transformers {version('transformers')}, torch {torch.__version__}"
    )
    with distributed(config.platform), model_parallel(config.parallel, seed=0):
        sides = {"ours": ours, "megatron-core": stock, "transformers": huggingface}
        seconds = {name: measure(build(config), arguments.rehearse) for name, build in sides.items()}
    results = report(config, seconds)
    if not arguments.rehearse:
        print(json.dumps(results))


def measure(step: Callable[[], Any], rehearse: bool) -> float:
    """Median seconds of a step; the model is let go afterwards."""
    import torch

    times = []
    for _ in range(1 if rehearse else WARM_UP + STEPS):
        torch.cuda.synchronize()
        started = time.perf_counter()
        step()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    del step
    gc.collect()
    if not rehearse:
        torch.cuda.empty_cache()
    return statistics.median(times[-STEPS:])


def report(config: Any, seconds: dict[str, float]) -> list[dict[str, Any]]:
    """Speed of each side, printed; entries of ours over the others."""
    from magic_megatron.planner.flops import train_flops

    length = config.data.sequence_length // ROWS_A_PACK
    flops = train_flops(config.model, [length] * ROWS_A_PACK, config.model.vocab_size)
    rates = {name: config.data.sequence_length / elapsed for name, elapsed in seconds.items()}
    for name, elapsed in seconds.items():
        peak = config.cluster.peak_tflops
        mfu = "" if peak is None else f", MFU {flops / elapsed / peak / 1e12:.1%} of {config.cluster.name}"
        print(f"{name}: {rates[name]:,.0f} tokens/s{mfu}")
    return [
        {
            "name": f"sft_gpu/{name}",
            "ratio": round(rates["ours"] / rates[name], 3),
            "target": 1.0,
            "better": "higher",
            "ours": round(rates["ours"]),
            "baseline": round(rates[name]),
            "unit": "tokens/s",
        }
        for name in rates
        if name != "ours"
    ]


def ours(config: Any) -> Callable[[], Any]:
    """A step with our router and its global losses."""
    from magic_megatron.moe.router import BatchSize, RouterStatistics
    from magic_megatron.sft.step import ForwardBackward

    ddp, optimizer = megatron(config, balanced=True)
    router = RouterStatistics([ddp], config.moe, num_domains=5)
    batch = microbatch(config)
    forward_backward = ForwardBackward([ddp], router, config.data.sequence_length)
    num_tokens, num_learned = int(batch.token_mask.sum()), int(batch.loss_mask.sum())
    size = BatchSize(num_tokens, num_learned, 1, batch.num_sequences)

    def step() -> None:
        router.begin_step(size, 1)
        if router.needs_statistics_pass:
            with router.counting():
                forward_backward([batch], forward_only=True)
        ddp.zero_grad_buffer()
        optimizer.zero_grad()
        forward_backward([batch])
        router.end_step()
        optimizer.step()

    return step


def stock(config: Any) -> Callable[[], Any]:
    """A step as Megatron-LM's ``pretrain_gpt.py`` takes it: aux_loss, logits of all tokens."""
    from megatron.core.pipeline_parallel import get_forward_backward_func

    ddp, optimizer = megatron(config, balanced=False)
    batch = microbatch(config)

    def forward(batches: Any, model: Any) -> Any:
        batch = next(batches)
        losses = model(
            batch.tokens,
            batch.position_ids,
            None,
            labels=batch.labels,
            packed_seq_params=batch.packed_seq_params,
        )
        return losses, lambda losses: (
            (losses.float() * batch.loss_mask).sum(),
            batch.loss_mask.sum().int(),
            {},
        )

    def step() -> None:
        ddp.zero_grad_buffer()
        optimizer.zero_grad()
        get_forward_backward_func()(
            forward_step_func=forward,
            data_iterator=iter([batch]),
            model=[ddp],
            num_microbatches=1,
            seq_length=config.data.sequence_length,
            micro_batch_size=1,
            forward_only=False,
        )
        optimizer.step()

    return step


def megatron(config: Any, *, balanced: bool) -> tuple[Any, Any]:
    """The wrapped model and its distributed optimizer."""
    import torch
    from megatron.core.distributed import finalize_model_grads

    from magic_megatron.models.gpt import build_model
    from magic_megatron.models.initialization import initialize_weights
    from magic_megatron.moe.router import use_balanced_router
    from magic_megatron.platform.specs import decoder_block_spec
    from magic_megatron.sft.build import build_optimizer, core_config, wrap

    core = core_config(config)
    if not balanced:
        core.moe_router_load_balancing_type = "aux_loss"
        core.moe_aux_loss_coeff, core.moe_z_loss_coeff = config.moe.aux_loss_coeff, config.moe.z_loss_coeff
    spec = decoder_block_spec(core, config.platform.name)
    if balanced:
        use_balanced_router(spec)
    chunk = build_model(
        config.model,
        core,
        spec,
        vocab_size=config.model.vocab_size,
        sequence_length=config.data.sequence_length,
        pre_process=True,
        post_process=True,
    ).to(torch.cuda.current_device())
    initialize_weights(chunk, seed=0)
    ddp = wrap(chunk, core, config)
    optimizer = build_optimizer(config, ddp)
    core.finalize_model_grads_func = finalize_model_grads
    core.grad_scale_func = optimizer.scale_loss
    return ddp, optimizer


def huggingface(config: Any) -> Callable[[], Any]:
    """A step of transformers' model on the same pack, told where its rows start by their positions."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from magic_megatron.models.huggingface_config import huggingface_config

    on_gpu = config.platform.name == "cuda"
    dtype = "bfloat16" if on_gpu else "float32"
    fields = huggingface_config(
        config.model, vocab_size=config.model.vocab_size, dtype=dtype, bos=None, eos=None
    )
    attention = "flash_attention_2" if on_gpu and has_flash_attention() else "sdpa"
    with torch.device("cuda" if on_gpu else "cpu"):
        model = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(**fields), dtype=getattr(torch, dtype), attn_implementation=attention
        )
    model.config.output_router_logits = True
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.optim.lr, fused=True)
    batch = microbatch(config)
    labels = torch.where(batch.loss_mask > 0, batch.tokens, -100)
    print(f"transformers' attention: {attention}")

    def step() -> None:
        optimizer.zero_grad()
        model(
            input_ids=batch.tokens, position_ids=batch.position_ids, labels=labels, use_cache=False
        ).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.optim.clip_grad)
        optimizer.step()

    return step


def has_flash_attention() -> bool:
    from transformers.utils import is_flash_attn_2_available

    return bool(is_flash_attn_2_available())


def microbatch(config: Any) -> Any:
    """A pack of random rows on the device, the last quarter of each learned."""
    import torch

    from magic_megatron.data.batch import collate
    from magic_megatron.data.dataset import Pack

    total, rows = config.data.sequence_length, ROWS_A_PACK
    length = total // rows
    tokens = torch.randint(0, config.model.vocab_size, (total,), generator=torch.Generator().manual_seed(0))
    position_ids = torch.arange(length).repeat(rows)
    pack = Pack(
        tokens=tokens,
        labels=tokens.roll(-1),
        loss_mask=(position_ids >= length - length // LEARNED).float(),
        position_ids=position_ids,
        token_mask=torch.ones(total, dtype=torch.bool),
        domain_ids=torch.arange(rows).repeat_interleave(length) % 5,
        cu_seqlens_padded=torch.arange(0, total + 1, length, dtype=torch.int32),
        max_seqlen=length,
    )
    return collate([pack]).to(torch.device(torch.cuda.current_device()))


if __name__ == "__main__":
    main()
