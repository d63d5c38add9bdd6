"""The distributed optimizer's state as parts of global tensors, the same tensors in every layout.

Upstream's formats tie the state to a layout: ``fully_reshardable`` gathers a whole model-parallel shard on each
data-parallel rank and numbers the optimizers, which are two where experts have ranks of their own
(``ChainedOptimizer``); ``fully_sharded_model_space`` needs flattened ranges, which 0.19 refuses. Here each rank
writes and reads just its own range of each parameter, cut into boxes of that parameter's global tensor, under the
keys of ``fully_reshardable``. Nothing is sent or gathered, and nothing names a group, a bucket or an optimizer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from megatron.core.dist_checkpointing import ShardedTensor
from megatron.core.dist_checkpointing.dict_utils import nested_values
from megatron.core.dist_checkpointing.mapping import ShardedTensorFactory
from megatron.core.models.gpt import GPTModel
from megatron.core.optimizer import ChainedOptimizer, DistributedOptimizer, MegatronOptimizer
from torch import Tensor

_KEYS = {"param": "fp32_param", "exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"}


@dataclass(frozen=True)
class Box:
    """A contiguous piece of a row-major array that is a box: where it starts, its shape, its first element."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    start: int


def boxes(start: int, stop: int, shape: tuple[int, ...]) -> Iterator[Box]:
    """The elements ``start`` to ``stop - 1`` of an array of ``shape`` in row-major order, as few boxes in that order.

    At most 2·len(shape) - 1 of them: the end of a row, whole rows, the beginning of a row, likewise inside a row.
    """
    if start >= stop:
        return
    if len(shape) == 1:
        yield Box((start,), (stop - start,), start)
        return
    row = math.prod(shape[1:])
    first, last = -(-start // row), stop // row
    if first > last:
        yield from _boxes_of_row(start // row, start, stop, shape)
        return
    yield from _boxes_of_row(first - 1, start, first * row, shape)
    if last > first:
        yield Box((first, *[0] * (len(shape) - 1)), (last - first, *shape[1:]), first * row)
    yield from _boxes_of_row(last, last * row, stop, shape)


def _boxes_of_row(number: int, start: int, stop: int, shape: tuple[int, ...]) -> Iterator[Box]:
    begin = number * math.prod(shape[1:])
    for box in boxes(start - begin, stop - begin, shape[1:]):
        yield Box((number, *box.offsets), (1, *box.sizes), box.start + begin)


def optimizer_shards(model: GPTModel, optimizer: MegatronOptimizer) -> Iterator[ShardedTensor]:
    """This rank's parts of main parameters and moments; their ``data`` are views of the state itself.

    Args:
        model: the chunk without its wrappers.
        optimizer: its state exists, after a step or ``prepare_state``.
    """
    places = _places(model)
    for part in _parts(optimizer):
        for parameter, start, stop in _owned_ranges(part):
            state = part._get_main_param_and_optimizer_states(parameter)
            for name, key in _KEYS.items():
                for place in places[parameter]:
                    yield from _shards(place, f"optimizer.state.{key}", state[name], start, stop)


def prepare_state(optimizer: MegatronOptimizer, step: int) -> None:
    """Make the state of ``step`` updates, for its tensors to be filled."""
    for part in _parts(optimizer):
        state = part.state_dict()
        for group in state["optimizer"]["param_groups"]:
            group["step"] = step
        part.load_state_dict(state)


@dataclass(frozen=True)
class _Place:
    """A contiguous part of a parameter, from element ``start`` on, and where it lies in its global tensor."""

    start: int
    shard: ShardedTensor


def _places(model: GPTModel) -> dict[Tensor, list[_Place]]:
    """Where each parameter lies; gate and up projection, stored one after the other, are two parts of one."""
    places = {}
    for entry in nested_values(model.sharded_state_dict()):
        if isinstance(entry, ShardedTensorFactory):
            shards = list(nested_values({"built": entry.build()}))
        elif isinstance(entry, ShardedTensor):
            shards = [entry]
        else:
            continue
        begin = entry.data.storage_offset()
        places[entry.data] = [_Place(shard.data.storage_offset() - begin, shard) for shard in shards]
        assert all(shard.data.is_contiguous() for shard in shards), entry.key
        assert sum(shard.data.numel() for shard in shards) == entry.data.numel(), entry.key
    return places


def _parts(optimizer: MegatronOptimizer) -> list[DistributedOptimizer]:
    parts = optimizer.chained_optimizers if isinstance(optimizer, ChainedOptimizer) else [optimizer]
    assert all(isinstance(part, DistributedOptimizer) for part in parts)
    return [part for part in parts if not part.is_stub_optimizer]


def _owned_ranges(part: DistributedOptimizer) -> Iterator[tuple[Tensor, int, int]]:
    """Each parameter of which this rank updates elements, and their range."""
    for by_dtype in part.gbuf_ranges:
        for buckets in by_dtype.values():
            for bucket in buckets:
                for parameter, ranges in bucket["param_map"].items():
                    yield parameter, ranges["param"].start, ranges["param"].end


def _shards(place: _Place, prefix: str, state: Tensor, start: int, stop: int) -> Iterator[ShardedTensor]:
    """``state``, the elements ``start`` to ``stop - 1`` of a parameter, as far as they lie in ``place``."""
    shard = place.shard
    begin = max(start - place.start, 0)
    end = min(stop - place.start, math.prod(shard.local_shape))
    leading = shard.prepend_axis_num
    for box in boxes(begin, end, tuple(shard.local_shape)):
        sizes = (*[1] * leading, *box.sizes)
        first = place.start + box.start - start
        data = state.detach()[first : first + math.prod(sizes)].view(sizes)
        inside = zip(shard.global_offset[leading:], box.offsets, strict=True)
        yield ShardedTensor(
            key=f"{prefix}.{shard.key}",
            data=data,
            dtype=data.dtype,
            local_shape=sizes,
            global_shape=shard.global_shape,
            global_offset=(*shard.global_offset[:leading], *(a + b for a, b in inside)),
            axis_fragmentations=None,
            replica_id=(*shard.replica_id[:2], 0),
            allow_shape_mismatch=shard.allow_shape_mismatch,
        )
