"""Checkpoints of the Megatron engine: those of SFT, written where verl wants them."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch.distributed as dist
import yaml
from megatron.core import dist_checkpointing
from megatron.core.dist_checkpointing.serialization import load_common_state_dict
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler
from torch import Tensor

from magic_megatron.config.model import ModelConfig
from magic_megatron.models.huggingface_folder import SafetensorsWriter
from magic_megatron.models.main_rank import on_main
from magic_megatron.models.training_state import TrainingState

_MAX_SHARD_BYTES = 5_000_000_000


class EngineCheckpoints:
    """Saves and restores one engine. All methods are collective.

    Args:
        state: model, optimizer and routers.
        scheduler: of the learning rate.
        model: that the checkpoints hold.
        folder: verl's ``HFModelConfig``: tokenizer and transformers' config of the model.

    Attributes:
        num_updates: optimizer steps behind the state; several may make a step of reinforcement learning.
    """

    def __init__(
        self, state: TrainingState, scheduler: OptimizerParamScheduler, model: ModelConfig, folder: Any
    ) -> None:
        self._state, self._scheduler, self._model, self._folder = state, scheduler, model, folder
        self._written: list[Path] = []
        self.num_updates = 0

    def save(self, path: Path, *, with_optimizer: bool, keep: int | None) -> None:
        """Write the checkpoint ``path``, whole when this returns; then drop the oldest beyond ``keep`` of them."""
        on_main(lambda: _empty(path))
        num_updates = self.num_updates if with_optimizer else 0
        sharded = self._state.sharded(num_updates)
        sharded["engine"] = {"num_updates": num_updates, "scheduler": self._scheduler.state_dict()}
        dist_checkpointing.save(sharded, str(path))
        on_main(lambda: self._add_description(path))
        self._written = [*(written for written in self._written if written != path), path]
        if keep:
            doomed, self._written = self._written[:-keep], self._written[-keep:]
            on_main(lambda: _remove(doomed))

    def save_huggingface(self, path: Path, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Write a folder that transformers and vLLM load; rank 0 writes what all ranks gather."""
        on_main(lambda: _empty(path))
        writer = SafetensorsWriter(path, _MAX_SHARD_BYTES) if dist.get_rank() == 0 else None
        for name, weight in weights:
            if writer is not None:
                writer.add(name, weight.cpu())
        if writer is not None:
            writer.close()
            self._folder.hf_config.save_pretrained(path)
            if self._folder.generation_config is not None:
                self._folder.generation_config.save_pretrained(path)
            self._folder.tokenizer.save_pretrained(path)
        dist.barrier()

    def load(self, path: Path) -> None:
        """Go on from the checkpoint ``path``, in whatever layout it was written.

        Raises:
            InputError: there is none, or it is damaged or of another model.
        """
        engine = load_common_state_dict(path)["engine"]
        self.num_updates = engine["num_updates"]
        self._state.restore(path, self.num_updates)
        self._scheduler.load_state_dict(engine["scheduler"])
        self._written = [path]

    def _add_description(self, path: Path) -> None:
        recipe = {"model": dataclasses.asdict(self._model)}
        (path / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
        self._folder.tokenizer.save_pretrained(path / "tokenizer")


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _empty(path: Path) -> None:
    """Nothing at ``path`` but a new folder, whatever a kill left there."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
