"""``python policy_loss_worker.py FOLDER``: a step of verl's FSDP2 engine on the same samples under several layouts.

The ranks are forked from one interpreter, so that verl is imported once. Rank 0 of each layout writes
``FOLDER/<algorithm>_<ranks>_<micro-batch>.json``: loss, gradient norm and metrics.
"""

import json
import os
import sys
from functools import partial
from pathlib import Path

os.environ |= {"VERL_PLATFORM": "cpu", "TORCHDYNAMO_DISABLE": "1", "HF_HUB_OFFLINE": "1"}

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tensordict import TensorDict
from transformers import Qwen3Config, Qwen3ForCausalLM
from verl.trainer.config import CheckpointConfig
from verl.utils import tensordict_utils as tu
from verl.utils.distributed import initialize_global_process_group_ray
from verl.utils.metric import Metric
from verl.workers.config import ActorConfig, FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
from verl.workers.engine import EngineRegistry

from magic_megatron.config.rl_algorithm import AlgorithmConfig
from magic_megatron.rl.loss import policy_loss
from magic_megatron.rl.xxpo import History, measure_batch
from recipes.command import compose, typed

LAYOUTS = ((1, 8), (1, 2), (2, 2))
NUM_SAMPLES, VOCAB = 8, 64
MODEL = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "initializer_range": 0.3,
}


def make_samples():
    """Eight turns of four episodes, responses of 3 to 10 tokens; the last one is masked."""
    generator = torch.Generator().manual_seed(0)
    columns = {}
    for sample in range(NUM_SAMPLES):
        length = 3 + sample
        tokens = torch.randint(0, VOCAB, (5 + length,), generator=generator)
        mask = torch.full((length,), int(sample < NUM_SAMPLES - 1))
        row = {
            "input_ids": tokens,
            "position_ids": torch.arange(len(tokens)),
            "prompts": tokens[:5],
            "responses": tokens[5:],
            "response_mask": mask,
            "loss_mask": mask,
            "old_log_probs": torch.full((length,), -4.0),
            "ref_log_prob": torch.full((length,), -4.0),
            "advantages": torch.randn(1, generator=generator) * mask,
            "segments": torch.randint(0, 3, (length,), generator=generator).to(torch.int8),
            "turn_index": torch.tensor([sample % 2]),
        }
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns


def make_loss(columns, name):
    overrides = [f"rl/algorithm@algorithm={name}"]
    if name != "grpo":
        overrides += ["algorithm.lambda1=0.3", "algorithm.lambda2=2.0", "algorithm.lambda3=0.5"]
    settings = typed(AlgorithmConfig, compose("rl", overrides).algorithm)
    actor = ActorConfig(
        strategy="fsdp2",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=1,
        calculate_entropy=True,
        use_kl_loss=True,
        kl_loss_coef=0.1,
    )
    mask, segments = (
        torch.nn.utils.rnn.pad_sequence(columns[field], batch_first=True)
        for field in ("response_mask", "segments")
    )
    size, turns = measure_batch(mask, segments, torch.arange(NUM_SAMPLES) // 2, num_mini_batches=1)
    history = History()
    history.add(torch.full(mask.shape, 1.5), mask, segments, torch.cat(columns["turn_index"]))
    columns["episode_turns"] = list(turns.reshape(-1, 1))
    return partial(policy_loss, config=actor, settings=settings, history=history, size=size)


def step(engine, columns, rows, micro_batch_size, loss):
    data = TensorDict(
        {
            name: torch.nested.as_nested_tensor([values[n] for n in rows], layout=torch.jagged)
            for name, values in columns.items()
        },
        batch_size=len(rows),
    )
    tu.assign_non_tensor(
        data,
        use_remove_padding=False,
        use_dynamic_bsz=False,
        use_fused_kernels=False,
        micro_batch_size_per_gpu=micro_batch_size,
        global_batch_size=NUM_SAMPLES,
        temperature=0.9,
        pad_token_id=0,
        calculate_entropy=True,
    )
    with engine.train_mode():
        return engine.train_batch(data, loss)


def run(rank, num_ranks, micro_batch_size, folder):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": "0", "WORLD_SIZE": str(num_ranks)}
    os.environ["DIST_INIT_METHOD"] = f"file://{folder}/store_{num_ranks}_{micro_batch_size}"
    initialize_global_process_group_ray()
    engine = EngineRegistry.new(
        model_type="language_model",
        backend="fsdp2",
        model_config=HFModelConfig(
            path=folder,
            load_tokenizer=False,
            use_remove_padding=False,
            override_config={"attn_implementation": "sdpa"},
        ),
        engine_config=FSDPEngineConfig(
            strategy="fsdp2",
            use_torch_compile=False,
            mixed_precision={"param_dtype": "fp32", "reduce_dtype": "fp32", "buffer_dtype": "fp32"},
        ),
        optimizer_config=FSDPOptimizerConfig(lr=0.0, total_training_steps=10, clip_grad=1e9),
        checkpoint_config=CheckpointConfig(),
    )
    engine.initialize()
    columns = make_samples()
    for name in ("grpo", "epo", "xxpo"):
        loss = make_loss(columns, name)
        output = step(engine, columns, range(rank, NUM_SAMPLES, num_ranks), micro_batch_size, loss)
        norm = output["metrics"].pop("grad_norm")
        gathered = [None] * num_ranks
        dist.all_gather_object(gathered, (output["loss"], output["metrics"]))
        if rank == 0:
            values = {
                key: float(Metric.aggregate_dp([metrics[key] for _, metrics in gathered]))
                for key, metric in output["metrics"].items()
                if isinstance(metric, Metric)
            }
            values["grad_norm"] = float(norm)
            values["loss"] = sum(sum(losses) for losses, _ in gathered) / num_ranks
            file = Path(folder) / f"{name}_{num_ranks}_{micro_batch_size}.json"
            file.write_text(json.dumps(values))
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.manual_seed(0)
    Qwen3ForCausalLM(Qwen3Config(**MODEL)).save_pretrained(sys.argv[1])
    for layout in LAYOUTS:
        mp.start_processes(run, args=(*layout, sys.argv[1]), nprocs=layout[0], start_method="fork")
