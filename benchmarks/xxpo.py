"""The actor's step time with XXPO's loss, over that of GRPO with entropy logging, on verl's own FSDP engine.

One engine and one batch of turns; a step with verl's ``ppo_loss`` and then one with ours, forward, backward and
optimizer; the median over pairs, in seconds of this one thread, so that neighbours count less. Both compute the entropy
of every token and its gradient, as verl does once ``calculate_entropy`` is on. Some steps of GRPO without any entropy
say what that costs. What XXPO adds is a few milliseconds a micro-batch, whatever the model: here, where a step takes
half a second, it looks larger than it is on a real one.

    python benchmarks/xxpo.py [--full]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

os.environ |= {
    "VERL_PLATFORM": "cpu",
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",
    "RANK": "0",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "1",
}

import torch

TARGET = 1.03
MODEL = {
    "vocab_size": 8192,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
}
NUM_EPISODES, NUM_TURNS, PROMPT, RESPONSE = 2, 4, 48, 64
MICRO_BATCH = 8
LEARNING_RATE = 1e-6


def build_engine(folder: Path):  # noqa: ANN201
    """verl's FSDP2 engine on a small Qwen3 with random weights."""
    from transformers import Qwen3Config, Qwen3ForCausalLM
    from verl.trainer.config import CheckpointConfig
    from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
    from verl.workers.engine import EngineRegistry

    torch.manual_seed(0)
    Qwen3ForCausalLM(Qwen3Config(**MODEL)).save_pretrained(folder)
    store = torch.distributed.FileStore(str(folder / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    model = HFModelConfig(
        path=str(folder),
        load_tokenizer=False,
        use_remove_padding=False,
        enable_gradient_checkpointing=False,
        override_config={"attn_implementation": "sdpa"},
    )
    engine = EngineRegistry.new(
        model_type="language_model",
        backend="fsdp2",
        model_config=model,
        engine_config=FSDPEngineConfig(
            strategy="fsdp2",
            use_torch_compile=False,
            mixed_precision={"param_dtype": "fp32", "reduce_dtype": "fp32", "buffer_dtype": "fp32"},
        ),
        optimizer_config=FSDPOptimizerConfig(lr=LEARNING_RATE, total_training_steps=1_000_000),
        checkpoint_config=CheckpointConfig(),
    )
    engine.initialize()
    return engine


def make_batch() -> dict[str, list[torch.Tensor]]:
    """Turns of some length: half thought, half action."""
    generator = torch.Generator().manual_seed(0)
    columns: dict[str, list[torch.Tensor]] = {}
    for sample in range(NUM_EPISODES * NUM_TURNS):
        length = int(torch.randint(RESPONSE // 2, RESPONSE + 1, (1,), generator=generator))
        tokens = torch.randint(0, MODEL["vocab_size"], (PROMPT + length,), generator=generator)
        row = {
            "input_ids": tokens,
            "position_ids": torch.arange(len(tokens)),
            "prompts": tokens[:PROMPT],
            "responses": tokens[PROMPT:],
            "response_mask": torch.ones(length, dtype=torch.long),
            "loss_mask": torch.ones(length, dtype=torch.long),
            "old_log_probs": torch.full((length,), -8.0),
            "ref_log_prob": torch.full((length,), -8.0),
            "advantages": torch.randn(1, generator=generator).repeat(length),
            "segments": (torch.arange(length) * 2 // length + 1).to(torch.int8),
            "turn_index": torch.tensor([sample % NUM_TURNS]),
            "episode_turns": torch.tensor([NUM_TURNS]),
        }
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns


def losses(columns: dict[str, list[torch.Tensor]]) -> tuple[Callable, Callable]:
    """verl's GRPO, and XXPO with a history that puts some tokens over the hinge."""
    from verl.workers.config import ActorConfig
    from verl.workers.utils.losses import ppo_loss

    from magic_megatron.config.rl_algorithm import AlgorithmConfig
    from magic_megatron.rl.loss import policy_loss
    from magic_megatron.rl.xxpo import History, measure_batch
    from recipes.command import compose, typed

    settings = typed(AlgorithmConfig, compose("rl", ["rl/algorithm@algorithm=xxpo"]).algorithm)
    actor = ActorConfig(
        strategy="fsdp2",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=MICRO_BATCH,
        calculate_entropy=True,
        use_kl_loss=True,
        kl_loss_coef=settings.kl_coef,
    )
    mask, segments = (
        torch.nn.utils.rnn.pad_sequence(columns[name], batch_first=True)
        for name in ("response_mask", "segments")
    )
    episodes = torch.arange(len(mask)) // NUM_TURNS
    size, _ = measure_batch(mask, segments, episodes, num_mini_batches=1)
    history = History()
    history.add(torch.full(mask.shape, 4.1), mask, segments, torch.cat(columns["turn_index"]))
    ours = partial(policy_loss, config=actor, settings=settings, history=history, size=size)
    return partial(ppo_loss, config=actor), ours


def timed_step(engine, columns, loss: Callable, calculate_entropy: bool) -> float:  # noqa: ANN001
    from tensordict import TensorDict
    from verl.utils import tensordict_utils as tu

    data = TensorDict(
        {name: torch.nested.as_nested_tensor(rows, layout=torch.jagged) for name, rows in columns.items()},
        batch_size=len(columns["prompts"]),
    )
    tu.assign_non_tensor(
        data,
        use_remove_padding=False,
        use_dynamic_bsz=False,
        use_fused_kernels=False,
        micro_batch_size_per_gpu=MICRO_BATCH,
        global_batch_size=len(data),
        temperature=0.9,
        pad_token_id=0,
        calculate_entropy=calculate_entropy,
    )
    with engine.train_mode():
        started = time.process_time()
        engine.train_batch(data, loss)
        return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="300 pairs in place of 30")
    num_pairs = 300 if parser.parse_args().full else 30
    with tempfile.TemporaryDirectory() as folder:
        engine = build_engine(Path(folder))
    columns = make_batch()
    grpo, xxpo = losses(columns)
    pairs = []
    for number in range(num_pairs + 3):
        first, second = (grpo, xxpo) if number % 2 else (xxpo, grpo)
        times = {loss: timed_step(engine, columns, loss, calculate_entropy=True) for loss in (first, second)}
        pairs.append((times[grpo], times[xxpo]))
    plain = [timed_step(engine, columns, grpo, calculate_entropy=False) for _ in range(8)]
    torch.distributed.destroy_process_group()
    report(pairs[3:], statistics.median(plain))


def report(pairs: list[tuple[float, float]], plain: float) -> None:
    logged, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = sorted(b / a for a, b in pairs)
    ratio = statistics.median(ratios)
    low, high = ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]
    print(
        f"verl {version('verl')}, torch {version('torch')}; {len(pairs)} pairs of steps on the FSDP2 engine"
    )
    print(f"XXPO {ours:.4f} s, GRPO with entropy {logged:.4f} s, without {plain:.4f} s")
    print(f"XXPO over GRPO with entropy: {ratio:.4f}, middle half {low:.4f} to {high:.4f}")
    print(
        json.dumps(
            {
                "name": "actor step time, XXPO over GRPO with entropy logging",
                "ratio": round(ratio, 4),
                "target": TARGET,
                "better": "lower",
                "ours": round(ours, 4),
                "baseline": round(logged, 4),
                "unit": "s",
            }
        )
    )


if __name__ == "__main__":
    main()
