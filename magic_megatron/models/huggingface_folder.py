"""The weights of a Hugging Face folder: safetensors, sharded or not, read and written piece by piece."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from recipes.command import InputError

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"


class SafetensorsReader:
    """Reads single tensors of the model in ``folder``; one file at a time is mapped into memory.

    Args:
        setting: the key of the recipe that named the folder, for messages.

    Raises:
        InputError: no weights there, or a file of them is missing or damaged.
    """

    def __init__(self, folder: Path, setting: str = "source") -> None:
        self._label = f"{setting}={folder}"
        self._mapped: tuple[Path, Any] | None = None
        if (folder / _INDEX).is_file():
            self._file_of = {name: folder / file for name, file in self._weight_map(folder / _INDEX).items()}
        elif (folder / _SINGLE).is_file():
            self._file_of = dict.fromkeys(self._open(folder / _SINGLE).keys(), folder / _SINGLE)
        else:
            raise InputError(
                f"{self._label}: neither {_SINGLE} nor {_INDEX} there; give a model in safetensors"
            )

    def read(self, name: str) -> Tensor:
        """The tensor ``name``, one of those that ``check`` found."""
        return self._open(self._file_of[name]).get_tensor(name)

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Open every file, and find every tensor of ``shapes`` in its file with its shape. Reads no weights.

        Raises:
            InputError: a tensor or a file is missing, a file is damaged, or a tensor has another shape.
        """
        for name in shapes.keys() - self._file_of.keys():
            raise InputError(
                f"{self._label}: tensor {name} is missing; give the complete weights of the model that"
                " config.json describes"
            )
        for name in sorted(shapes, key=lambda name: self._file_of[name]):
            path = self._file_of[name]
            try:
                found = tuple(self._open(path).get_slice(name).get_shape())
            except SafetensorError as error:
                raise InputError(
                    f"{self._label}: {_INDEX} names {name} in {path.name}, where it isn't ({error}); copy both again"
                ) from error
            if found != shapes[name]:
                raise InputError(
                    f"{self._label}: {name} is {list(found)}, by config.json {list(shapes[name])}; give weights and"
                    " config.json of the same model"
                )

    def _weight_map(self, index: Path) -> dict[str, str]:
        try:
            return dict(json.loads(index.read_text())["weight_map"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self._label}: {_INDEX} is damaged ({error}); copy it again") from error

    def _open(self, path: Path) -> Any:
        if self._mapped is None or self._mapped[0] != path:
            try:
                self._mapped = (path, safe_open(path, framework="pt"))
            except (OSError, RuntimeError, SafetensorError) as error:
                raise InputError(
                    f"{self._label}: {path.name} is missing or damaged ({error}); copy it again"
                ) from error
        return self._mapped[1]


class SafetensorsWriter:
    """Writes tensors to ``model-0000x-of-y.safetensors`` in ``folder``, holding one file's at a time.

    Raises:
        OSError: a file can't be written.
    """

    def __init__(self, folder: Path, max_shard_bytes: int) -> None:
        self._folder = folder
        self._max_shard_bytes = max_shard_bytes
        self._shard: dict[str, Tensor] = {}
        self._shard_bytes = 0
        self._written: list[list[str]] = []
        self._total_bytes = 0

    def add(self, name: str, tensor: Tensor) -> None:
        if self._shard and self._shard_bytes + tensor.nbytes > self._max_shard_bytes:
            self._flush()
        # A clone, for a view would keep its whole weight in memory.
        self._shard[name] = tensor.clone(memory_format=torch.contiguous_format)
        self._shard_bytes += tensor.nbytes

    def close(self) -> None:
        """Write what is left, and the index that says which file has what."""
        self._flush()
        finals = [
            f"model-{number:05d}-of-{len(self._written):05d}.safetensors"
            for number in range(1, len(self._written) + 1)
        ]
        weight_map = {
            name: final for final, names in zip(finals, self._written, strict=True) for name in names
        }
        index = {"metadata": {"total_size": self._total_bytes}, "weight_map": weight_map}
        (self._folder / _INDEX).write_text(json.dumps(index, indent=2) + "\n")
        for number, final in enumerate(finals, start=1):
            self._part(number).rename(self._folder / final)
            # safetensors lets nobody else read what it wrote.
            shutil.copymode(self._folder / _INDEX, self._folder / final)

    def _flush(self) -> None:
        self._written.append(list(self._shard))
        try:
            save_file(self._shard, self._part(len(self._written)), metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(str(error)) from error
        self._total_bytes += self._shard_bytes
        self._shard, self._shard_bytes = {}, 0

    def _part(self, number: int) -> Path:
        return self._folder / f"model-{number:05d}.safetensors.partial"
