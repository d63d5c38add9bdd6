"""Rows of an indexed pair, packed into sequences of one length for training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from magic_megatron.data.packing import IntArray, Packing, padded_lengths
from magic_megatron.data.pair import open_pair
from recipes.command import InputError

IGNORED = -100  # a label without loss, as in torch.nn.functional.cross_entropy


@dataclass(frozen=True)
class Pack:
    """Several rows in one sequence of T tokens; n rows, each padded on its right.

    Attributes:
        tokens: int64 [T]; padding holds 0.
        labels: int64 [T]; the token after this one in the same row where it is learned, else -100.
        loss_mask: float32 [T]; 1 where ``labels`` is a token.
        position_ids: int64 [T]; counted within each row, on through its padding.
        token_mask: bool [T]; True at real tokens, prompts included.
        domain_ids: int64 [T]; index into the manifest's domains, -1 at padding.
        cu_seqlens: int32 [n + 1]; sums of the rows' real lengths.
        cu_seqlens_padded: int32 [n + 1]; where each row begins, the last entry T.
        max_seqlen: length of the longest row with its padding.
    """

    tokens: Tensor
    labels: Tensor
    loss_mask: Tensor
    position_ids: Tensor
    token_mask: Tensor
    domain_ids: Tensor
    cu_seqlens: Tensor
    cu_seqlens_padded: Tensor
    max_seqlen: int


class PackedDataset:
    """Packs without end: ``dataset[i]`` is pack ``i % len(dataset)`` of epoch ``i // len(dataset)``.

    Args:
        prefix: ``D/train`` for the files that ``data_synth.export`` wrote into D.
        sequence_length: T, tokens of a pack.
        seed: decides packs and their order, together with the epoch.
        pad_multiple: what each row's length is rounded up to; a multiple of 2·cp of every layout to be used.

    Attributes:
        manifest: of the export.
        dropped: rows longer than T by domain; they are in no pack.

    Raises:
        InputError: the pair is missing, truncated or contradicts its manifest, or no row fits.
    """

    def __init__(self, prefix: str, sequence_length: int, seed: int, pad_multiple: int) -> None:
        if seed < 0:
            raise InputError(f"train.seed={seed}: must not be negative; try train.seed={-seed}")
        if sequence_length % pad_multiple:
            near = -(-sequence_length // pad_multiple) * pad_multiple
            raise InputError(
                f"data.sequence_length={sequence_length}: must divide by data.pad_multiple={pad_multiple};"
                f" try data.sequence_length={near}"
            )
        self._pair = open_pair(prefix)
        self.manifest = self._pair.manifest
        self.sequence_length, self.seed, self.pad_multiple = sequence_length, seed, pad_multiple
        too_long = self._pair.num_tokens > sequence_length
        if too_long.all():
            shortest = int(self._pair.num_tokens.min())
            raise InputError(
                f"data.sequence_length={sequence_length}: none of the {len(too_long)} rows of {prefix} fits,"
                f" the shortest has {shortest} tokens; try data.sequence_length="
                f"{padded_lengths(shortest, math.lcm(pad_multiple, 1024))}"
            )
        counts = np.bincount(self._pair.domain_ids[too_long], minlength=len(self.manifest.domains))
        self.dropped = {n: int(c) for n, c in zip(self.manifest.domains, counts, strict=True) if c}
        self._packing = Packing(self._pair.num_tokens, sequence_length, pad_multiple, seed)
        self._epoch = lru_cache(maxsize=2)(self._packing.epoch)

    def __len__(self) -> int:
        """Packs in an epoch, the same in each."""
        return len(self._packing)

    def __getitem__(self, index: int) -> Pack:
        """Pack ``index`` of the endless sequence, read from the mapped files."""
        if index < 0:
            raise IndexError(index)
        rows = self.rows_of(index)
        lengths = self._pair.num_tokens[rows]
        starts = np.concatenate([[0], np.cumsum(padded_lengths(lengths, self.pad_multiple))])
        starts[-1] = self.sequence_length
        columns = self._columns(rows, lengths, starts)
        return Pack(
            **{name: torch.from_numpy(column) for name, column in columns.items()},
            cu_seqlens=torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)),
            cu_seqlens_padded=torch.from_numpy(starts.astype(np.int32)),
            max_seqlen=int(np.diff(starts).max()),
        )

    def rows_of(self, index: int) -> IntArray:
        """Row numbers in pack ``index``, in their order."""
        epoch, position = divmod(index, len(self))
        return self._epoch(epoch)[position]

    def count_tokens(self, first: int, last: int) -> tuple[int, int]:
        """Real tokens and loss tokens of packs ``first`` to ``last - 1``, from the row counts alone."""
        rows = np.concatenate([self.rows_of(index) for index in range(first, last)])
        return int(self._pair.num_tokens[rows].sum()), int(self._pair.num_loss_tokens[rows].sum())

    def _columns(self, rows: IntArray, lengths: IntArray, starts: IntArray) -> dict[str, np.ndarray]:
        """The per-token fields of a pack, each [T]."""
        T = self.sequence_length
        tokens, labels = np.zeros(T, dtype=np.int64), np.full(T, IGNORED, dtype=np.int64)
        domain_ids = np.full(T, -1, dtype=np.int64)
        for row, length, start in zip(rows.tolist(), lengths.tolist(), starts.tolist()[:-1], strict=True):
            tokens[start : start + length] = self._pair.tokens[row]
            labels[start : start + length - 1] = self._pair.labels[row][1:]
            domain_ids[start : start + length] = self._pair.domain_ids[row]
        loss_mask = (labels != IGNORED).astype(np.float32)
        expected = int(self._pair.num_loss_tokens[rows].sum())
        if int(loss_mask.sum()) != expected:
            raise InputError(
                f"data.path={self._pair.prefix}: rows {rows.tolist()} have {int(loss_mask.sum())} labels,"
                f" their _rows.jsonl says {expected}; run python -m data_synth.export again"
            )
        return {
            "tokens": tokens,
            "labels": labels,
            "loss_mask": loss_mask,
            "position_ids": np.arange(T) - np.repeat(starts[:-1], np.diff(starts)),
            "token_mask": domain_ids >= 0,
            "domain_ids": domain_ids,
        }
