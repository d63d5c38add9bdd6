"""A GPTModel in whatever layout, filled from a Hugging Face folder and read out as Hugging Face tensors.

No rank holds more than one layer of the whole model besides its own part.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.dist_checkpointing import ShardedTensor
from megatron.core.models.gpt import GPTModel
from torch import Tensor

from magic_megatron.config.model import ModelConfig
from magic_megatron.models.huggingface import huggingface_names, join, split, weight_groups, weight_shape
from magic_megatron.models.huggingface_folder import SafetensorsReader
from magic_megatron.models.weights import local_part, named_shards
from recipes.command import InputError


@torch.no_grad()
def load_huggingface(model: GPTModel, config: ModelConfig, folder: Path, setting: str) -> None:
    """Fill ``model``, one stage under any layout, from the safetensors in ``folder``, in the model's own dtype.

    Every rank reads the weights of which it holds a part, one at a time; no process waits for another.

    Args:
        model: without its wrappers.
        config: of the model.
        setting: the key of the recipe that named the folder, for messages.

    Raises:
        InputError: no safetensors, damaged ones, or those of another model.
    """
    reader = SafetensorsReader(folder, setting)
    loaded, weight = "", torch.empty(0)
    for name, shard in named_shards(model, config):
        if name != loaded:
            weight = join(name, [reader.read(part) for part in huggingface_names(name)], config)
            loaded = name
        expected = tuple(shard.global_shape[shard.prepend_axis_num :])
        if tuple(weight.shape) != expected:
            raise InputError(
                f"{setting}={folder}: {' and '.join(huggingface_names(name))} make {list(weight.shape)}, by"
                f" config.json {list(expected)}; give weights and config.json of the same model"
            )
        shard.data.copy_(weight[local_part(shard)].view_as(shard.data))


@dataclass(frozen=True)
class _Part:
    """A rank's part of a weight."""

    name: str
    place: tuple[slice, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Group:
    """Weights of a layer that lie on the same ranks.

    Attributes:
        names: of the weights.
        parts: which rank of ``gather`` holds what, in the order in which it sends it; empty on stages without them.
        gather: the ranks over which the weights are spread.
        stage: the pipeline rank that has them.
    """

    names: list[str]
    parts: list[list[_Part]]
    gather: dist.ProcessGroup
    stage: int


class HuggingFaceExport:
    """Reads a model out as transformers names and shapes its tensors. All methods are collective over all ranks.

    Args:
        model: without its wrappers.
        config: of the model.
    """

    def __init__(self, model: GPTModel, config: ModelConfig) -> None:
        self._model, self._config = model, config
        self._vocab_size = model.vocab_size
        self._groups = list(self._plan())

    @torch.no_grad()
    def __iter__(self) -> Generator[tuple[str, Tensor], None, None]:
        """(name, whole tensor) of every weight, in the order of the layers: the same on every rank.

        What was yielded is overwritten by nothing, but freed unless the caller keeps it.
        """
        shards: dict[str, list[ShardedTensor]] = {}
        for name, shard in named_shards(self._model, self._config):
            shards.setdefault(name, []).append(shard)
        for group in self._groups:
            for name, weight in self._gather(group, shards).items():
                yield from zip(huggingface_names(name), split(name, weight, self._config), strict=True)

    def _plan(self) -> Iterator[_Group]:
        own: dict[bool, dict[str, list[_Part]]] = {False: {}, True: {}}
        for name, shard in named_shards(self._model, self._config):
            part = _Part(name, local_part(shard), tuple(shard.local_shape))
            own[_is_expert(name)].setdefault(name, []).append(part)
        ranks = {False: parallel_state.get_tensor_model_parallel_group()}
        ranks[True] = parallel_state.get_expert_tensor_and_model_parallel_group()
        held = {is_expert: _told(own[is_expert], ranks[is_expert]) for is_expert in ranks}
        here = {name for parts_of_ranks in held.values() for parts in parts_of_ranks for name in parts}
        stages = _told(here, parallel_state.get_pipeline_model_parallel_group())
        for layer in weight_groups(self._config):
            for is_expert, gather in ranks.items():
                names = [name for name in layer if _is_expert(name) == is_expert]
                if not names:
                    continue
                parts = [
                    [part for name in names for part in of_rank.get(name, [])] for of_rank in held[is_expert]
                ]
                stage = next(number for number, has in enumerate(stages) if names[0] in has)
                yield _Group(names, parts, gather, stage)

    def _gather(self, group: _Group, shards: dict[str, list[ShardedTensor]]) -> dict[str, Tensor]:
        """The whole weights of ``group``: put together on its stage, then told to the others."""
        shapes = {name: weight_shape(name, self._config, self._vocab_size) for name in group.names}
        core = self._model.config
        flat = torch.empty(
            sum(map(math.prod, shapes.values())), dtype=core.params_dtype, device=torch.cuda.current_device()
        )
        pieces = flat.split([math.prod(shape) for shape in shapes.values()])
        weights = {
            name: piece.view(shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)
        }
        if parallel_state.get_pipeline_model_parallel_rank() == group.stage:
            own = [shard.data.reshape(-1) for name in group.names for shard in shards.get(name, [])]
            _put_together(group, torch.cat(own).to(flat.dtype), weights)
        pipeline = parallel_state.get_pipeline_model_parallel_group()
        if pipeline.size() > 1:
            dist.broadcast(flat, group=pipeline, group_src=group.stage)
        return weights


def _put_together(group: _Group, own: Tensor, weights: dict[str, Tensor]) -> None:
    """All ranks' parts into ``weights``, of which this rank has ``own``, one after the other."""
    received = [torch.empty_like(own) for _ in group.parts]
    if len(received) == 1:
        received = [own]
    else:
        dist.all_gather(received, own, group=group.gather)
    for parts, flat in zip(group.parts, received, strict=True):
        sizes = [math.prod(part.shape) for part in parts]
        for part, data in zip(parts, flat.split(sizes), strict=True):
            weights[part.name][part.place] = data.view(weights[part.name][part.place].shape)


def _is_expert(name: str) -> bool:
    return ".experts." in name


def _told[T](value: T, group: dist.ProcessGroup) -> Sequence[T]:
    """What each rank of ``group`` has."""
    values: list[T | None] = [None] * group.size()
    dist.all_gather_object(values, value, group=group)
    return [value for value in values if value is not None]
