"""Packed parquet as Megatron-Bridge's ``GPTSFTPackedParquetDataset`` reads it.

The convention (NVIDIA-NeMo/Megatron-Bridge at 067f987, ``src/megatron/bridge/data/packing/``):

- ``parquet.py``: columns ``input_ids`` list<int32>, ``loss_mask`` list<int8>, ``seq_start_id`` list<int32>; the file's
  name ends in ``.idx.parquet`` (``paths.py``), row groups have 500 packs.
- ``gpt_sft.py``, ``collate_fn``: a sequence of n stored tokens gives the n - 1 inputs ``ids[:-1]`` with the labels
  ``ids[1:]`` and the mask ``loss_mask[:-1]``; so ``loss_mask[i]`` says whether token i + 1 is learned
  (``algorithms.py`` rolls it by one), and the last entry of a sequence is 0.
- ``algorithms.py``: what a pack holds is counted in inputs, n - 1 a sequence; longer sequences are left out. The
  metadata file has a list with one record of statistics.
- ``offline.py``: with a padding multiple (2·cp), inputs are padded to it with the end token and without loss.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_synth.writers.indexed import IndexedBatch
from data_synth.writers.masking import IGNORED
from data_synth.writers.packing import best_fit_decreasing
from recipes.command import InputError

PACKED, METADATA = "train_packed.idx.parquet", "train_packed_metadata.json"
PACKS_PER_GROUP = 500
SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("loss_mask", pa.list_(pa.int8())),
        ("seq_start_id", pa.list_(pa.int32())),
    ]
)


@dataclass(frozen=True)
class PackSettings:
    """How packs are made.

    Attributes:
        size: inputs that a pack takes.
        multiple: inputs of a sequence are padded to a multiple of it; 2·cp under context parallelism.
        window: packs' worth of sequences among which the packer chooses; memory grows with it.
    """

    size: int
    multiple: int
    window: int


@dataclass(frozen=True)
class _Sequence:
    """Stored tokens [n] and their rolled loss mask [n], padded; ``order`` is the document's number."""

    order: int
    ids: NDArray[np.int32]
    mask: NDArray[np.int8]

    @property
    def num_inputs(self) -> int:
        return len(self.ids) - 1


class PackedWriter:
    """Packs the documents of a stream, a window of them at a time, and writes the packs.

    What a window leaves in a pack that is half full or less waits for the next one.
    """

    def __init__(self, folder: Path, settings: PackSettings, pad: int) -> None:
        self._folder, self._settings, self._pad = folder, settings, pad
        self._file = pq.ParquetWriter(folder / PACKED, SCHEMA)
        self._window: list[_Sequence] = []
        self._num_waiting = 0
        self._packs: list[list[_Sequence]] = []
        self._num_documents = self._num_too_long = self._num_inputs = self._num_packed = 0
        self._longest = self._shortest = self._most = self._num_packs = 0
        self._shortest_pack = settings.size

    def write(self, batch: IndexedBatch) -> None:
        """Take the documents of ``batch``; write what fills the window."""
        tokens = np.frombuffer(batch.documents["text"], dtype=np.int32)
        labels = np.frombuffer(batch.documents["label"], dtype=np.int32)
        bounds = np.cumsum([0, *batch.lengths])
        for start, end in pairwise(bounds.tolist()):
            sequence = self._sequence(tokens[start:end], labels[start:end])
            self._num_documents += 1
            self._shortest = min(self._shortest or sequence.num_inputs, sequence.num_inputs)
            if sequence.num_inputs > self._settings.size:
                self._num_too_long += 1
                continue
            self._window.append(sequence)
            self._num_waiting += sequence.num_inputs
            if self._num_waiting >= self._settings.window * self._settings.size:
                self._pack(keep_half_full=True)

    def close(self) -> dict[str, Any]:
        """Write the rest and the metadata; ``packed`` for the manifest."""
        self._pack(keep_half_full=False)
        self._write_groups(least=1)
        self._file.close()
        if self._num_documents and not self._num_packs:
            raise InputError(
                f"pack_size={self._settings.size}: all {self._num_documents} documents are longer; the shortest has"
                f" {self._shortest} inputs; raise it"
            )
        num_packs = max(self._num_packs, 1)
        metadata = {
            "dataset_max_seqlen": self._longest,
            "max_samples_per_bin": self._most,
            "packing_factor": round(self._num_packed / num_packs, 2),
            "packing_efficiency": round(100 * self._num_inputs / num_packs / self._settings.size, 2),
            "pack_size": self._settings.size,
            "min_packed_seqlen": self._shortest_pack,
        }
        (self._folder / METADATA).write_text(json.dumps([metadata]) + "\n", encoding="utf-8")
        return {
            "packed": {
                "pack_size": self._settings.size,
                "pack_multiple": self._settings.multiple,
                "num_packs": self._num_packs,
                "num_documents": self._num_packed,
                "num_too_long": self._num_too_long,
                "efficiency": metadata["packing_efficiency"] / 100,
            }
        }

    def _sequence(self, ids: NDArray[np.int32], learned: NDArray[np.int32]) -> _Sequence:
        num_pad = -(len(ids) - 1) % self._settings.multiple
        mask = np.zeros(len(ids) + num_pad, dtype=np.int8)
        mask[: len(ids) - 1] = learned[1:] != IGNORED
        padded = np.concatenate([ids, np.full(num_pad, self._pad, dtype=np.int32)])
        return _Sequence(self._num_documents, padded, mask)

    def _pack(self, keep_half_full: bool) -> None:
        window, size = self._window, self._settings.size
        packs = [
            [window[position] for position in sorted(pack)]
            for pack in best_fit_decreasing([sequence.num_inputs for sequence in window], size)
        ]
        self._window, self._num_waiting = [], 0
        for pack in sorted(packs, key=lambda pack: pack[0].order):
            num_inputs = sum(sequence.num_inputs for sequence in pack)
            if keep_half_full and 2 * num_inputs <= size:
                self._window, self._num_waiting = pack, num_inputs
                continue
            self._packs.append(pack)
            self._num_packs += 1
            self._num_packed += len(pack)
            self._num_inputs += num_inputs
            self._longest = max(self._longest, *(sequence.num_inputs for sequence in pack))
            self._most = max(self._most, len(pack))
            self._shortest_pack = min(self._shortest_pack, num_inputs)
        self._write_groups(least=PACKS_PER_GROUP)

    def _write_groups(self, least: int) -> None:
        while len(self._packs) >= least:
            group, self._packs = self._packs[:PACKS_PER_GROUP], self._packs[PACKS_PER_GROUP:]
            self._file.write_table(_table(group))


def _table(packs: list[list[_Sequence]]) -> pa.Table:
    ids = [np.concatenate([sequence.ids for sequence in pack]) for pack in packs]
    masks = [np.concatenate([sequence.mask for sequence in pack]) for pack in packs]
    starts = [
        np.cumsum([0, *(len(sequence.ids) for sequence in pack[:-1])], dtype=np.int32) for pack in packs
    ]
    return pa.table([_lists(column) for column in (ids, masks, starts)], schema=SCHEMA)


def _lists(arrays: list[NDArray[Any]]) -> pa.ListArray:
    offsets = np.cumsum([0, *map(len, arrays)], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, np.concatenate(arrays))
