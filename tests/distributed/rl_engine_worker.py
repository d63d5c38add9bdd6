"""Run by test_rl_engine.py: verl's Megatron engine on our model, in several layouts, each in processes of its own.

    python rl_engine_worker.py PLAN.json OUT

PLAN is a list of cases: {"name", "model", "layout": {tp, pp, cp, ep}, "world_size", "loss", ...}. OUT/<name>.pt holds
what the case found. Processes are forked from this one, so that verl is imported once.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {"VERL_PLATFORM": "cpu", "TORCHDYNAMO_DISABLE": "1"}

from magic_megatron.rl import engines

engines.register()

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from megatron.core import parallel_state  # noqa: E402
from verl.trainer.config import CheckpointConfig  # noqa: E402
from verl.utils import tensordict_utils as tu  # noqa: E402
from verl.workers.config import HFModelConfig, McoreEngineConfig, McoreOptimizerConfig  # noqa: E402
from verl.workers.engine.base import EngineRegistry  # noqa: E402

LENGTHS = (9, 14, 6, 11, 17, 5, 12, 8)
NUM_UPDATES = 2
MOE = {
    "load_balancing": "global",
    "aux_loss_coeff": 0.5,
    "z_loss_coeff": 0.1,
    "statistics": "previous_step",
    "capacity_factor": None,
}


def batch(vocab_size: int, rank: int, size: int, dynamic: bool, num_padding: int) -> Any:
    """The samples of data-parallel rank ``rank`` of ``size``, as verl's trainer hands them to an engine."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for length in LENGTHS:
        ids = torch.randint(3, vocab_size, (length,), generator=generator)
        # A position stands for the next token: the last one, for whatever follows in the pack.
        positions = torch.arange(length)
        mask = (positions >= length // 3) & (positions < length - 1)
        rows.append((ids, torch.randn(length, generator=generator), mask, torch.tensor([0])))
    for number in range(num_padding):  # what verl fills up with has no loss
        ids = torch.full((16 + number,), 2)
        rows.insert(3 * number, (ids, torch.zeros(len(ids)), torch.zeros(len(ids)).bool(), torch.tensor([1])))
    rows = rows[rank * len(rows) // size : (rank + 1) * len(rows) // size]
    columns = [
        torch.nested.as_nested_tensor(list(column), layout=torch.jagged) for column in zip(*rows, strict=True)
    ]
    ids, advantages, mask, is_padding = columns
    data = tu.get_tensordict(
        {
            "input_ids": ids,
            "advantages": advantages,
            "loss_mask": mask.to(torch.int64),
            "is_padding": is_padding,
        },
        non_tensor_dict={},
    )
    tu.assign_non_tensor(
        data,
        use_dynamic_bsz=dynamic,
        max_token_len_per_gpu=24,
        micro_batch_size_per_gpu=1,
        temperature=0.9,
        calculate_entropy=True,
    )
    return data


def clipped_loss(model_output: Any, data: Any, dp_group: Any = None) -> tuple[torch.Tensor, dict[str, Any]]:
    """A policy gradient with a ratio, and entropy."""
    mask = data["loss_mask"].values()
    log_probs, entropy = model_output["log_probs"].values(), model_output["entropy"].values()
    ratio = torch.exp(log_probs - log_probs.detach() + 0.05)
    per_token = -ratio * data["advantages"].values() - 0.1 * entropy
    return (per_token * mask).sum() / data["batch_num_tokens"] * data["dp_size"], {}


def entropy_loss(model_output: Any, data: Any, dp_group: Any = None) -> tuple[torch.Tensor, dict[str, Any]]:
    mask = data["loss_mask"].values()
    entropy = (model_output["entropy"].values() * mask).sum()
    return -entropy / data["batch_num_tokens"] * data["dp_size"], {}


LOSSES = {"clipped": clipped_loss, "entropy": entropy_loss}


def build(case: dict[str, Any], forward_only: bool = False) -> Any:
    layout = case["layout"]
    settings = {
        "platform": "rehearsal",
        "dtype": "fp32",
        "recompute": case.get("recompute", "none"),
        "init_from": case.get("init_from"),
        "moe": MOE,
    }
    engine = EngineRegistry.new(
        model_type="language_model",
        backend="megatron",
        model_config=_model(case["model"]),
        engine_config=McoreEngineConfig(
            tensor_model_parallel_size=layout.get("tp", 1),
            pipeline_model_parallel_size=layout.get("pp", 1),
            context_parallel_size=layout.get("cp", 1),
            expert_model_parallel_size=layout.get("ep", 1),
            expert_tensor_parallel_size=1,
            use_remove_padding=True,
            forward_only=forward_only,
            override_mcore_model_config=settings,
        ),
        # A large epsilon: AdamW's update then follows the gradient instead of its sign.
        optimizer_config=McoreOptimizerConfig(
            lr=1e-1,
            weight_decay=0.01,
            total_training_steps=10,
            lr_decay_style="constant",
            override_optimizer_config={"adam_eps": 1.0},
        ),
        checkpoint_config=CheckpointConfig(save_contents=["model", "optimizer", "extra", "hf_model"]),
    )
    engine.initialize()
    return engine


def _model(folder: str) -> Any:
    model = HFModelConfig(path=folder, use_remove_padding=True)
    model.model_type = "language_model"
    return model


def weights_of(engine: Any) -> dict[str, torch.Tensor]:
    weights, adapter = engine.get_per_tensor_param()
    assert adapter is None
    return {name: weight.clone() for name, weight in weights}


def update(engine: Any, case: dict[str, Any]) -> dict[str, float]:
    """One update. What it reports, the same on every rank that reports."""
    data = rank_batch(engine, case)
    with engine.train_mode():
        output = engine.train_batch(data, LOSSES[case["loss"]])
    engine.lr_scheduler_step()
    if not engine.is_mp_src_rank_with_outputs():
        return {}
    loss = torch.tensor(sum(output["loss"]), dtype=torch.float64)
    dist.all_reduce(loss, group=engine.get_data_parallel_group())
    metrics = {
        name: float(value[0]) for name, value in output["metrics"].items() if name.startswith("actor/")
    }
    grad_norm = float(output["metrics"]["grad_norm"])
    return {"loss": loss.item() / engine.get_data_parallel_size(), "grad_norm": grad_norm, **metrics}


def inferred(engine: Any, case: dict[str, Any]) -> dict[str, list[list[float]]]:
    """Log-probabilities and entropies of this rank's samples."""
    data = rank_batch(engine, case)
    with engine.eval_mode():
        output = engine.infer_batch(data, None)
    if not engine.is_mp_src_rank_with_outputs():
        return {}
    return {key: [row.tolist() for row in value.unbind()] for key, value in output["model_output"].items()}


def rank_batch(engine: Any, case: dict[str, Any]) -> Any:
    return batch(
        int(engine.model_config.hf_config.vocab_size),
        engine.get_data_parallel_rank(),
        engine.get_data_parallel_size(),
        case["dynamic"],
        case.get("num_padding", 0),
    )


def run(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    if "init_from" in case:
        case = {**case, "init_from": str(folder / case["init_from"] / "actor")}
    engine = build(case)
    found: dict[str, Any] = {"before": weights_of(engine), "inferred": inferred(engine, case), "updates": []}
    for number in range(NUM_UPDATES):
        found["updates"].append(update(engine, case))
        # A pass without gradients in between changes nothing.
        inferred(engine, case)
        if number == 0 and case.get("checkpoint"):
            engine.save_checkpoint(str(folder / case["checkpoint"] / "actor"), global_step=1)
    found["after"] = weights_of(engine)
    found["counted"] = {} if engine.router is None else engine.router.state_dict()
    if case.get("resume"):
        again = build(case)
        again.load_checkpoint(str(folder / case["resume"] / "actor"))
        found["resumed"] = update(again, case)
        found["resumed_weights"] = weights_of(again)
    if case.get("reference"):
        found["reference"] = inferred(build(case, forward_only=True), case)
    return found


def process(rank: int, case: dict[str, Any], folder: Path) -> None:
    size = case["world_size"]
    torch.set_num_threads(1)
    store = folder / f"{case['name']}.store"
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    found = run(case, folder)
    gathered: list[Any] = [None] * size
    dist.all_gather_object(gathered, found)
    if rank == 0:
        torch.save(gathered, folder / f"{case['name']}.pt")
    parallel_state.destroy_model_parallel()
    dist.destroy_process_group()


def main(plan: Path, folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    for case in json.loads(plan.read_text()):
        children = [
            context.Process(target=process, args=(rank, case, folder)) for rank in range(case["world_size"])
        ]
        for child in children:
            child.start()
        for child in children:
            child.join()
        assert all(child.exitcode == 0 for child in children), case["name"]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
