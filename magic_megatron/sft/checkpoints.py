"""Checkpoints of a run: megatron's sharded format, written aside, renamed when whole, the last few kept.

``output_dir/checkpoints/step_0000100/`` is complete because it has that name: it is written as
``.step_0000100.partial`` and renamed when every rank is done. Beside the shards lie ``recipe.yaml``,
``trainer.json``, ``integrity`` hashes of all shards, and the tokenizer.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist
from megatron.core import dist_checkpointing
from megatron.core.dist_checkpointing.core import CheckpointingException
from megatron.core.dist_checkpointing.validation import verify_integrity_manifest
from megatron.core.models.gpt import GPTModel
from megatron.core.optimizer import MegatronOptimizer

from magic_megatron.moe.router import RouterStatistics
from recipes.command import InputError

_FOLDER = re.compile(r"step_(\d{7,})")
# The one kind of optimizer state that every layout can read.
_METADATA = {"distrib_optim_sharding_type": "fully_reshardable"}


@dataclass(frozen=True)
class TrainingState:
    """All that a run goes on from. ``model`` is the chunk without its wrappers."""

    model: GPTModel
    optimizer: MegatronOptimizer
    router: RouterStatistics | None

    def sharded(self, *, is_loading: bool) -> dict[str, Any]:
        model = self.model.sharded_state_dict()
        state = {
            "model": model,
            "optimizer": self.optimizer.sharded_state_dict(model, is_loading=is_loading, metadata=_METADATA),
        }
        if self.router is not None and not is_loading:
            state["router"] = self.router.state_dict()
        return state


def complete_checkpoints(output_dir: Path) -> list[Path]:
    """Complete checkpoint folders of a run, oldest first."""
    folder = output_dir / "checkpoints"
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _FOLDER.fullmatch(path.name)), key=step_of)


def step_of(checkpoint: Path) -> int:
    """Training steps behind a checkpoint, from its folder's name."""
    match = _FOLDER.fullmatch(checkpoint.name)
    assert match is not None, checkpoint
    return int(match.group(1))


def save(
    state: TrainingState, output_dir: Path, step: int, trainer: dict[str, Any], tokenizer: Path, keep: int
) -> Path:
    """Write the checkpoint of ``step``; older ones beyond the newest ``keep`` go afterwards. Collective."""
    final = output_dir / "checkpoints" / f"step_{step:07d}"
    partial = final.with_name(f".{final.name}.partial")
    is_main = dist.get_rank() == 0
    if is_main:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    dist.barrier()
    dist_checkpointing.save(state.sharded(is_loading=False), str(partial), verify_integrity=True)
    if is_main:
        (partial / "trainer.json").write_text(json.dumps(trainer, indent=1))
        shutil.copy(output_dir / "recipe.yaml", partial / "recipe.yaml")
        shutil.copytree(tokenizer, partial / "tokenizer")
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        for old in complete_checkpoints(output_dir)[:-keep]:
            shutil.rmtree(old)
    dist.barrier()
    return final


def load(state: TrainingState, checkpoint: Path) -> None:
    """Restore ``state`` from ``checkpoint``, in whatever layout it was written.

    Raises:
        InputError: a shard is missing, truncated or changed.
    """
    try:
        verify_integrity_manifest(str(checkpoint))
    except CheckpointingException as error:
        raise InputError(
            f"resume=auto: checkpoint {checkpoint} is damaged ({error});"
            " remove that folder to go on from the one before"
        ) from error
    loaded = dist_checkpointing.load(state.sharded(is_loading=True), str(checkpoint))
    state.model.load_state_dict(loaded["model"])
    state.optimizer.load_state_dict(loaded["optimizer"])
    if state.router is not None:
        state.router.load_state_dict(loaded["router"])
