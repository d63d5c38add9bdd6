"""``dry_run=true``: what a run would do, and everything that is in its way, in seconds and without process groups."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from magic_megatron.config.sft import SftConfig
from magic_megatron.planner.memory import MemoryEstimate, fits
from magic_megatron.planner.parameters import count_parameters
from magic_megatron.sft.checkpoints import complete_checkpoints
from magic_megatron.sft.preflight import RunPlan, inspect_run
from recipes.command import InputError

_GIB = 2**30
_ITEMSIZE = {"fp32": 4, "bf16": 2}
_OPTIMIZER_BYTES = 12  # of a parameter in a checkpoint: fp32 weight and both moments


def dry_run(config: SftConfig, world_size: int) -> int:
    """Print what a run of ``world_size`` processes would do, and on standard error a line for each thing wrong.

    Returns:
        The exit status: 0 where the run would start, else 2.
    """
    plan, problems = inspect_run(config, world_size)
    memory = None
    if plan is not None:
        memory = fits(config, config.cluster, world_size, plan.vocab_size)
        problems += [*_memory_problems(config, memory), *_disk_problems(plan)]
        for line in _description(plan, world_size, memory):
            print(line)
    for problem in problems:
        print("error: " + " ".join(str(problem).split()), file=sys.stderr)
    if problems:
        number = "one thing is" if len(problems) == 1 else f"{len(problems)} things are"
        print(f"dry run: {number} wrong, nothing was started", file=sys.stderr)
        return 2
    print(f"dry run: the run would start; leave out dry_run=true, with torchrun for {world_size} processes")
    return 0


def checkpoint_bytes(plan: RunPlan) -> int:
    """Of a checkpoint with the optimizer's state, without the few bytes beside the tensors."""
    weights = count_parameters(plan.config.model, plan.vocab_size).total
    return weights * (_ITEMSIZE[plan.config.platform.dtype] + _OPTIMIZER_BYTES)


def _memory_problems(config: SftConfig, memory: MemoryEstimate) -> list[InputError]:
    if memory.fits:
        return []
    recompute = "" if config.train.recompute == "full" else "train.recompute=full, "
    return [
        InputError(
            f"cluster.memory_gib={config.cluster.memory_gib}: the fullest rank needs {memory.total / _GIB:.1f} GiB of"
            f" {memory.usable / _GIB:.1f} usable, most of it {memory.largest}; try {recompute}a smaller"
            f" train.micro_batch_size={config.train.micro_batch_size} or more GPUs, python -m magic_megatron.plan"
            f" lists layouts that fit"
        )
    ]


def _disk_problems(plan: RunPlan) -> list[InputError]:
    """The kept checkpoints and one that is being written, less those that are there."""
    folder = _existing(Path(plan.config.output_dir))
    size, keep = checkpoint_bytes(plan), plan.config.train.keep_checkpoints
    there = len(complete_checkpoints(Path(plan.config.output_dir)))
    needed, free = size * max(keep + 1 - there, 1), shutil.disk_usage(folder).free
    if needed <= free:
        return []
    return [
        InputError(
            f"output_dir={plan.config.output_dir}: checkpoints of {_amount(size)}, {keep} kept and one being"
            f" written, need {_amount(needed)} more, {_amount(free)} are free; make room, choose another"
            f" folder, or lower train.keep_checkpoints={keep}"
        )
    ]


def _description(plan: RunPlan, world_size: int, memory: MemoryEstimate) -> list[str]:
    config, data = plan.config, plan.dataset.summary()
    parameters = count_parameters(config.model, plan.vocab_size)
    sizes = "·".join(f"{key.upper()}{getattr(config.parallel, key)}" for key in ("tp", "pp", "cp", "ep"))
    train = config.train
    packs = train.global_batch_size
    tokens = packs * data["num_tokens_per_epoch"] / data["num_packs_per_epoch"]
    usable = "not judged" if config.cluster.memory_gib is None else f"of {_amount(memory.usable)} usable"
    parts = ("weights", "gradients", "optimizer", "activations", "workspace", "logits")
    terms = ", ".join(f"{part} {_amount(getattr(memory, part))}" for part in parts)
    kept = f"{_amount(checkpoint_bytes(plan))} each, the newest {train.keep_checkpoints} kept"
    free = shutil.disk_usage(_existing(Path(config.output_dir))).free
    return [
        f"model        {config.model.name}: {_number(parameters.total)} parameters, {_number(parameters.active)}"
        f" active, {config.platform.dtype}",
        f"layout       {sizes} in {world_size} processes, dp {plan.dp}",
        f"data         {config.data.path}: {data['num_rows_per_epoch']:,} rows, {data['num_tokens_per_epoch']:,} tokens"
        f" an epoch, {data['num_packs_per_epoch']:,} packs of {data['sequence_length']:,} filled to {data['fill']:.1%},"
        f" {data['num_dropped']:,} rows too long",
        *_held_out(plan),
        f"steps        {plan.num_steps:,} from step {plan.first_step:,}"
        f"{f' ({plan.checkpoint})' if plan.checkpoint else ''}",
        f"step         {packs} packs, about {tokens:,.0f} tokens; a replica has {packs // plan.dp}, in micro-batches of"
        f" {train.micro_batch_size}",
        f"memory       {_amount(memory.total)} on the fullest rank, {usable}: {terms}",
        f"checkpoints  {kept}, every {train.save_interval:,} steps in {config.output_dir}, {_amount(free)} free",
    ]


def _held_out(plan: RunPlan) -> list[str]:
    if plan.validation is None:
        return []
    manifest = plan.validation.manifest
    return [
        f"held out     {plan.config.data.validation_path}: {manifest.num_rows:,} rows, every"
        f" {plan.config.train.validation_interval:,} steps"
    ]


def _existing(folder: Path) -> Path:
    """The nearest folder upwards that is there."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _amount(num_bytes: float) -> str:
    return f"{num_bytes / _GIB:.1f} GiB" if num_bytes >= _GIB else f"{num_bytes / 2**20:.1f} MiB"


def _number(count: int) -> str:
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.2f} M"
