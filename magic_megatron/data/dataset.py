"""Rows of an indexed pair, packed into sequences of one length for training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from magic_megatron.data.balance import FloatArray
from magic_megatron.data.mixture import IntArray, Mixture, domain_weights
from magic_megatron.data.packing import Packing, padded_lengths
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
        cu_seqlens_padded: int32 [n + 1]; where each row begins, the last entry T.
        max_seqlen: length of the longest row with its padding.
    """

    tokens: Tensor
    labels: Tensor
    loss_mask: Tensor
    position_ids: Tensor
    token_mask: Tensor
    domain_ids: Tensor
    cu_seqlens_padded: Tensor
    max_seqlen: int


class PackedDataset:
    """Packs without end, epoch after epoch: ``dataset[i]``.

    Args:
        prefix: ``D/train`` for the files that ``data_synth.export`` wrote into D.
        sequence_length: T, tokens of a pack.
        seed: decides packs and their order, together with the epoch.
        pad_multiple: what each row's length is rounded up to; a multiple of 2·cp of every layout to be used.
        mixture: how often an epoch sees the rows of a task or domain; ``None`` is once.

    Attributes:
        manifest: of the export.
        dropped: rows longer than T by domain; they are in no pack.

    Raises:
        InputError: the pair is missing, truncated or contradicts its manifest, no row fits, or ``mixture`` names
            what isn't there.
    """

    def __init__(
        self,
        prefix: str,
        sequence_length: int,
        seed: int,
        pad_multiple: int,
        mixture: Mapping[str, float] | None,
    ) -> None:
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
        domains = self.manifest.domains
        self._weights = domain_weights(mixture, domains)
        kept = [np.flatnonzero((self._pair.domain_ids == d) & ~too_long) for d in range(len(domains))]
        rows = Mixture(kept, self._weights, seed)
        if not rows.num_rows:
            raise InputError(f"data.mixture={mixture}: leaves out every row that fits; try data.mixture=null")
        counts = np.bincount(self._pair.domain_ids[too_long], minlength=len(domains))
        self.dropped = {n: int(c) for n, c in zip(domains, counts, strict=True) if c}
        self._packing = Packing(self._pair.num_tokens, sequence_length, pad_multiple, seed, rows)

    def num_packs(self, num_epochs: int) -> int:
        """Packs of the first ``num_epochs`` passes over the data."""
        return self._packing.num_packs(num_epochs)

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
            cu_seqlens_padded=torch.from_numpy(starts.astype(np.int32)),
            max_seqlen=int(np.diff(starts).max()),
        )

    def rows_of(self, index: int) -> IntArray:
        """Row numbers in pack ``index``, in their order."""
        epoch, position = self._packing.locate(index)
        return self._packing.epoch(epoch)[position]

    def count_tokens(self, first: int, last: int) -> tuple[int, int]:
        """Real tokens and loss tokens of packs ``first`` to ``last - 1``, from the row counts alone."""
        rows = np.concatenate([self.rows_of(index) for index in range(first, last)])
        return int(self._pair.num_tokens[rows].sum()), int(self._pair.num_loss_tokens[rows].sum())

    def row_lengths(self, first: int, last: int) -> IntArray:
        """Tokens of every row of packs ``first`` to ``last - 1``."""
        rows = np.concatenate([self.rows_of(index) for index in range(first, last)])
        lengths: IntArray = self._pair.num_tokens[rows]
        return lengths

    def costs(self, first: int, last: int, attention_weight: float) -> FloatArray:
        """Estimated cost of packs ``first`` to ``last - 1``, in tokens of linear layers [last - first].

        Args:
            attention_weight: of ``magic_megatron.data.balance``.
        """
        lengths = [
            self._pair.num_tokens[self.rows_of(index)].astype(np.float64) for index in range(first, last)
        ]
        return self.sequence_length + attention_weight * np.array([(row * row).sum() for row in lengths])

    def summary(self) -> dict[str, Any]:
        """What the first epoch sees: counts, the share of real tokens in its packs, and the same by domain."""
        rows = self._packing.epoch(0).rows
        num_packs, domain_ids = self.num_packs(1), self._pair.domain_ids
        lengths = self._pair.num_tokens
        of_domain = {
            name: {
                "num_rows": int((domain_ids == d).sum()),
                "num_dropped": self.dropped.get(name, 0),
                "weight": self._weights[d],
                "num_tokens_per_epoch": int(lengths[rows[domain_ids[rows] == d]].sum()),
            }
            for d, name in enumerate(self.manifest.domains)
        }
        return {
            "sequence_length": self.sequence_length,
            "pad_multiple": self.pad_multiple,
            "num_rows_per_epoch": len(rows),
            "num_tokens_per_epoch": int(lengths[rows].sum()),
            "num_packs_per_epoch": num_packs,
            "fill": int(lengths[rows].sum()) / (num_packs * self.sequence_length),
            "num_dropped": sum(self.dropped.values()),
            "domains": of_domain,
        }

    def count_rows(self, first: int, last: int) -> int:
        """Rows in packs ``first`` to ``last - 1``."""
        return sum(len(self.rows_of(index)) for index in range(first, last))

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
