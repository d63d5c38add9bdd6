"""A GPTModel's parameters as parts of global tensors, and how a checkpoint fills them under any layout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from megatron.core.dist_checkpointing import ShardedTensor
from megatron.core.dist_checkpointing.dict_utils import nested_values
from megatron.core.dist_checkpointing.mapping import apply_factories
from megatron.core.models.gpt import GPTModel

from magic_megatron.config.model import ModelConfig
from magic_megatron.models.checkpoint_weights import CheckpointReader, Slice, place_of, synonyms
from magic_megatron.models.huggingface import all_weights


def weight_shards(model: GPTModel) -> Iterator[ShardedTensor]:
    """This rank's parts of the global tensors; their ``data`` are (views of) the parameters themselves."""
    sharded = model.sharded_state_dict()
    apply_factories(sharded)
    return (value for value in nested_values(sharded) if isinstance(value, ShardedTensor))


def named_shards(model: GPTModel, config: ModelConfig) -> Iterator[tuple[str, ShardedTensor]]:
    """``weight_shards``, each with the name that ``huggingface.py`` gives the weight it is a part of."""
    names: dict[tuple[str, tuple[int, ...]], str] = {}
    for name in all_weights(config):
        key, index = place_of(name)
        names |= {(stored, index): name for stored in (key, *synonyms(key))}
    for shard in weight_shards(model):
        yield names[shard.key, tuple(shard.global_offset[: shard.prepend_axis_num])], shard


def local_part(shard: ShardedTensor) -> tuple[slice, ...]:
    """Where the shard lies in its weight, without leading layer and expert axes."""
    offsets = shard.global_offset[shard.prepend_axis_num :]
    return tuple(slice(start, start + size) for start, size in zip(offsets, shard.local_shape, strict=True))


def load_weights(model: GPTModel, folder: Path, setting: str) -> None:
    """Fill ``model``, one stage under any layout and either layer spec, from a checkpoint of any other.

    Every rank reads its own part straight into its parameters; no process waits for another.

    Args:
        model: without its wrappers.
        folder: a checkpoint of ``magic_megatron.sft``, or one that ``magic_megatron.convert`` wrote.
        setting: the key of the recipe that named the folder, for messages.

    Raises:
        InputError: no checkpoint, a damaged one, or one of another model.
    """
    reader = CheckpointReader(folder, setting)
    reader.fill(
        Slice(shard.key, shard.global_shape, shard.global_offset, shard.data)
        for shard in weight_shards(model)
    )
