"""What training goes on from: weights, optimizer and router statistics, to and from a checkpoint of any layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron.core.dist_checkpointing import ShardedTensor
from megatron.core.dist_checkpointing.serialization import load_common_state_dict
from megatron.core.models.gpt import GPTModel
from megatron.core.optimizer import MegatronOptimizer

from magic_megatron.models.checkpoint_weights import CheckpointReader, Slice
from magic_megatron.models.optimizer_state import optimizer_shards, prepare_state
from magic_megatron.models.weights import weight_shards
from magic_megatron.moe.router import RouterStatistics


@dataclass(frozen=True)
class TrainingState:
    """All that a run goes on from. ``model`` is the chunk without its wrappers.

    There is no random state among it: nothing is drawn at random after the weights, dropout is 0, and the order
    of the data is a function of the step.
    """

    model: GPTModel
    optimizer: MegatronOptimizer
    router: RouterStatistics | None

    def sharded(self, step: int) -> dict[str, Any]:
        """Everything to save after ``step`` steps; before the first one the optimizer has no state."""
        optimizer = list(optimizer_shards(self.model, self.optimizer)) if step else []
        state = {"model": self.model.sharded_state_dict(), "optimizer": optimizer}
        if self.router is not None:
            state["router"] = self.router.state_dict()
        return state

    def restore(self, folder: Path, step: int) -> None:
        """Go on from the checkpoint in ``folder`` of ``step`` steps, in whatever layout it was written.

        Each rank reads its own part.

        Raises:
            InputError: it is of another model.
        """
        reader = CheckpointReader(folder, "checkpoint")
        reader.fill(_slices(weight_shards(self.model)))
        if step:
            prepare_state(self.optimizer, step)
            reader.fill(_slices(optimizer_shards(self.model, self.optimizer)))
        else:
            self.optimizer.reload_model_params()
        if self.router is not None:
            self.router.load_state_dict(load_common_state_dict(folder)["router"])


def _slices(shards: Iterable[ShardedTensor]) -> Iterator[Slice]:
    return (Slice(shard.key, shard.global_shape, shard.global_offset, shard.data) for shard in shards)
