"""The model's weights in a checkpoint folder, one by one, without building the model.

A checkpoint in Megatron-Core's ``torch_dist`` format is one of ``torch.distributed.checkpoint``: global
tensors in chunks, whatever the layout that wrote it. Megatron-Core stacks a weight over all layers, and an
expert's weight over layers and experts; here it is a slice of that stack, named as in ``huggingface.py``.
Only torch is needed, and memory for what is asked for at a time.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.checkpoint import (
    DefaultLoadPlanner,
    DefaultSavePlanner,
    FileSystemReader,
    FileSystemWriter,
    LoadPlan,
    Metadata,
    SavePlan,
    WriteItem,
)
from torch.distributed.checkpoint.default_planner import create_default_global_save_plan
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import TensorWriteData, WriteItemType
from torch.distributed.checkpoint.planner_helpers import create_read_items_for_chunk_list

from recipes.command import InputError

_EXPERT = re.compile(r"decoder\.layers\.(\d+)\.mlp\.experts\.local_experts\.(\d+)\.(.+)")
_STEP = re.compile(r"step_(\d+)")
_LAYER = re.compile(r"decoder\.layers\.(\d+)\.(.+)")
# Megatron-Core stores the norms under the names that transformer-engine's modules give them ...
_STORED = {
    "input_layernorm.weight": "self_attention.linear_qkv.layer_norm_weight",
    "pre_mlp_layernorm.weight": "mlp.linear_fc1.layer_norm_weight",
}
# ... except that a Mixture of Experts of transformer-engine's modules keeps this one.
_SYNONYMS = {
    "decoder.layers.mlp.linear_fc1.layer_norm_weight": "decoder.layers.pre_mlp_layernorm.weight",
    "decoder.layers.pre_mlp_layernorm.weight": "decoder.layers.mlp.linear_fc1.layer_norm_weight",
}


@dataclass(frozen=True)
class Slice:
    """A part of a stored tensor, and the memory to read it into.

    Attributes:
        key: of the stored tensor.
        global_shape: that it must have; ``None`` for whatever it has.
        offsets: of the part, in the stored tensor.
        target: the memory, of the part's shape with or without its leading axes of length 1.
    """

    key: str
    global_shape: tuple[int, ...] | None
    offsets: tuple[int, ...]
    target: Tensor


def place_of(name: str) -> tuple[str, tuple[int, ...]]:
    """Key and index (layer, expert) of the weight ``name`` in Megatron-Core's sharded state dict."""
    expert = _EXPERT.fullmatch(name)
    if expert is not None:
        layer, number, rest = expert.groups()
        return f"decoder.layers.mlp.experts.experts.{rest}", (int(layer), int(number))
    in_layer = _LAYER.fullmatch(name)
    if in_layer is not None:
        layer, rest = in_layer.groups()
        return f"decoder.layers.{_STORED.get(rest, rest)}", (int(layer),)
    return name, ()


def synonyms(key: str) -> list[str]:
    """Other keys under which the tensor ``key`` may be stored."""
    return [key.replace(name, other) for name, other in _SYNONYMS.items() if key.endswith(name)]


def resolve_checkpoint(folder: Path) -> Path:
    """The checkpoint meant by ``folder``: the newest complete one where it is a run's, or the run's ``checkpoints``.

    A folder with neither is given back as it is.
    """
    if (folder / ".metadata").is_file():
        return folder
    for parent in (folder, folder / "checkpoints"):
        steps = {
            int(match.group(1)): path
            for path in (parent.iterdir() if parent.is_dir() else ())
            if (match := _STEP.fullmatch(path.name)) and (path / ".metadata").is_file()
        }
        if steps:
            return steps[max(steps)]
    return folder


class CheckpointReader:
    """Reads weights of the checkpoint in ``folder``.

    Args:
        folder: of the checkpoint, or of the run whose newest one is meant.
        setting: the key of the recipe that named the folder, for messages.

    Raises:
        InputError: there is no checkpoint, or its metadata can't be read.
    """

    def __init__(self, folder: Path, setting: str) -> None:
        self.label = f"{setting}={folder}"
        folder = resolve_checkpoint(folder)
        if not (folder / ".metadata").is_file():
            raise InputError(
                f"{self.label}: no checkpoint there; give a run's folder, one such as RUN/checkpoints/step_0000100, or"
                " one that magic_megatron.convert direction=from_hf wrote"
            )
        self._storage = FileSystemReader(folder)
        try:
            metadata = self._storage.read_metadata()
        except (pickle.UnpicklingError, EOFError) as error:
            raise InputError(f"{self.label}: .metadata is damaged ({error}); give another") from error
        self._storage.set_up_storage_reader(metadata, is_coordinator=True)
        stored = metadata.state_dict_metadata.items()
        self._tensors = {key: value for key, value in stored if isinstance(value, TensorStorageMetadata)}
        self._by_layer = {
            key: _chunks_by_layer(value) for key, value in self._tensors.items() if "decoder.layers." in key
        }

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the weight ``name``."""
        key, index = place_of(name)
        return tuple(self._tensors[self._stored_key(key)].size[len(index) :])

    def dtype(self, name: str) -> torch.dtype:
        """In which the weight ``name`` is stored."""
        return self._tensors[self._stored_key(place_of(name)[0])].properties.dtype

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """The weights ``names``, whole, as stored.

        Raises:
            InputError: one of them is missing or damaged.
        """
        weights = {name: torch.empty(self.shape(name), dtype=self.dtype(name)) for name in names}
        slices = []
        for name, weight in weights.items():
            key, index = place_of(name)
            slices.append(Slice(key, None, (*index, *[0] * weight.dim()), weight))
        self.fill(slices)
        return weights

    def fill(self, slices: Iterable[Slice]) -> None:
        """Read every slice into its target, on its device and in its dtype.

        Raises:
            InputError: a tensor is missing, has another shape, or is damaged.
        """
        planner = _Targets()
        items = []
        for part in slices:
            key = self._stored_key(part.key)
            stored = self._tensors[key]
            self._check(part, stored)
            leading = len(part.offsets) - part.target.dim()
            sizes = torch.Size([*[1] * leading, *part.target.shape])
            chunk = ChunkStorageMetadata(offsets=torch.Size(part.offsets), sizes=sizes)
            # Detached, for a parameter that several chunks fill is a view of what the one before has changed.
            planner.targets[MetadataIndex(key, chunk.offsets)] = part.target.detach().view(sizes)
            items += create_read_items_for_chunk_list(key, self._near(key, part.offsets), [chunk])
        try:
            self._storage.read_data(LoadPlan(items), planner)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise InputError(f"{self.label}: a shard is damaged ({error}); give another") from error

    def _stored_key(self, key: str) -> str:
        for candidate in (key, *synonyms(key)):
            if candidate in self._tensors:
                return candidate
        raise InputError(f"{self.label}: no weight {key} in it; choose the model that it was trained as")

    def _check(self, part: Slice, stored: TensorStorageMetadata) -> None:
        if part.global_shape is not None and tuple(stored.size) != tuple(part.global_shape):
            raise InputError(
                f"{self.label}: {part.key} is {list(stored.size)} there, {list(part.global_shape)} in this"
                " model; choose the model and the tokenizer that it was trained with"
            )
        if any(start >= size for start, size in zip(part.offsets, stored.size, strict=True)):
            raise InputError(
                f"{self.label}: {part.key} is {list(stored.size)}, too small for this model; choose the model"
                " that it was trained as"
            )

    def _near(self, key: str, offsets: tuple[int, ...]) -> TensorStorageMetadata:
        """The stored tensor with the chunks of one layer only: matching all with all would take minutes."""
        stored = self._tensors[key]
        if key not in self._by_layer:
            return stored
        return TensorStorageMetadata(stored.properties, stored.size, self._by_layer[key][offsets[0]])


def write_weights(
    folder: Path, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, read: Callable[[str], Tensor]
) -> None:
    """Write a checkpoint of weights alone, a file per layer, which Megatron-Core loads into any layout.

    Args:
        folder: where to; made if it isn't there.
        shapes: of the weights, by name, in the order in which they are read.
        dtype: in which they are stored.
        read: gives the weight of a name; called once for each.

    Raises:
        OSError: the shard can't be written.
    """
    planner = _Sources(shapes, dtype, read)
    storage = FileSystemWriter(folder)
    storage.set_up_storage_writer(is_coordinator=True)
    local_plans = [storage.prepare_local_plan(plan) for plan in planner.plans_by_layer()]
    plans, metadata = planner.create_global_plan(local_plans)
    try:
        # Torch keeps a tensor of each key until a plan is written: with a plan per layer that is a layer at most.
        written = [storage.write_data(plan, planner).wait() for plan in storage.prepare_global_plan(plans)]
    except RuntimeError as error:  # torch.save's own, when the file under it can't grow
        raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
    storage.finish(metadata, written)
    backend = {"sharded_backend": "torch_dist", "sharded_backend_version": 1}
    (folder / "metadata.json").write_text(json.dumps(backend))
    torch.save({}, folder / "common.pt")


class _Targets(DefaultLoadPlanner):
    """Memory to read weights into."""

    def __init__(self) -> None:
        super().__init__(flatten_state_dict=False, flatten_sharded_tensors=False)
        self.targets: dict[MetadataIndex, Tensor] = {}

    def lookup_tensor(self, index: MetadataIndex) -> Tensor:
        return self.targets[index]


class _Sources(DefaultSavePlanner):
    """Weights that are fetched when their turn to be written comes."""

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, read: Callable[[str], Tensor]
    ) -> None:
        super().__init__(flatten_state_dict=False, flatten_sharded_tensors=False)
        self._shapes = shapes
        self._dtype = dtype
        self._read = read
        self._names: dict[MetadataIndex, str] = {}

    def plans_by_layer(self) -> list[SavePlan]:
        places = {name: place_of(name) for name in self._shapes}
        counts: dict[str, tuple[int, ...]] = {}
        for key, index in places.values():
            last = counts.get(key, index)
            counts[key] = tuple(max(pair) for pair in zip(last, index, strict=True))
        by_layer = groupby(self._shapes, key=lambda name: places[name][1][:1] or name)
        return [
            SavePlan([self._item(name, counts[places[name][0]]) for name in names]) for _, names in by_layer
        ]

    def create_global_plan(self, all_plans: list[SavePlan]) -> tuple[list[SavePlan], Metadata]:
        # Without the default's check for overlaps, whose time grows with the square of the chunks.
        return create_default_global_save_plan(all_plans)

    def lookup_object(self, index: MetadataIndex) -> Tensor:
        name = self._names[index]
        leading = len(place_of(name)[1])
        weight = self._read(name).to(self._dtype).contiguous()
        return weight.view(*[1] * leading, *weight.shape)

    def _item(self, name: str, last_index: tuple[int, ...]) -> WriteItem:
        key, index = place_of(name)
        shape = self._shapes[name]
        chunk = ChunkStorageMetadata(
            offsets=torch.Size([*index, *[0] * len(shape)]), sizes=torch.Size([*[1] * len(index), *shape])
        )
        self._names[MetadataIndex(key, chunk.offsets)] = name
        data = TensorWriteData(
            chunk=chunk,
            properties=TensorProperties(dtype=self._dtype),
            size=torch.Size([*(last + 1 for last in last_index), *shape]),
        )
        return WriteItem(index=MetadataIndex(key, chunk.offsets), type=WriteItemType.SHARD, tensor_data=data)


def _chunks_by_layer(stored: TensorStorageMetadata) -> list[list[ChunkStorageMetadata]]:
    """The chunks that hold something of each layer, the first axis of a stacked tensor."""
    by_layer: list[list[ChunkStorageMetadata]] = [[] for _ in range(stored.size[0])]
    for chunk in stored.chunks:
        for layer in range(chunk.offsets[0], chunk.offsets[0] + chunk.sizes[0]):
            by_layer[layer].append(chunk)
    return by_layer
