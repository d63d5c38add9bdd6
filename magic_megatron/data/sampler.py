"""Which packs a step trains on, and which of them a rank takes; a function of the step, nothing to save."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from magic_megatron.data.balance import FloatArray, rise_and_fall, share_out
from magic_megatron.data.batch import MicroBatch, collate
from magic_megatron.data.dataset import PackedDataset
from magic_megatron.data.mixture import IntArray


class GlobalBatches:
    """Step ``s`` trains on packs ``s·G`` to ``(s + 1)·G - 1`` of the dataset, whatever the layout.

    Which ``micro_batch_size`` packs share a micro-batch is decided by their costs alone, the same in every layout;
    then micro-batches are shared out over the replicas. Both are even in cost (``balance.share_out``), and the
    replicas' micro-batches at one place in their order are alike too, since expert parallelism makes them wait for
    one another. Epochs follow one another without a gap, each in its own order.

    Args:
        global_batch_size: G, packs of a step; a multiple of ``micro_batch_size · dp_size``
            (``magic_megatron.config.sft.check_batch`` says so to users).
        attention_weight: what a row's attention costs (``balance.attention_weight``).
    """

    def __init__(
        self,
        dataset: PackedDataset,
        global_batch_size: int,
        micro_batch_size: int,
        dp_rank: int,
        dp_size: int,
        attention_weight: float,
    ) -> None:
        assert global_batch_size % (micro_batch_size * dp_size) == 0
        assert 0 <= dp_rank < dp_size
        self.dataset = dataset
        self.global_batch_size, self.micro_batch_size = global_batch_size, micro_batch_size
        self.dp_rank, self.dp_size, self.attention_weight = dp_rank, dp_size, attention_weight
        self.assignment = lru_cache(maxsize=1)(self._assign)

    def microbatches(self, step: int) -> list[MicroBatch]:
        """This replica's micro-batches of ``step``, in their order."""
        mine = self.assignment(step)[self.dp_rank].tolist()
        return [collate([self.dataset[pack] for pack in packs]) for packs in mine]

    def costs(self, step: int) -> FloatArray:
        """Estimated cost of every replica's micro-batches of ``step``, in their order [dp_size, number of them]."""
        costs = self._pack_costs(step)
        return costs[self.assignment(step) - step * self.global_batch_size].sum(axis=2)

    def num_tokens(self, step: int) -> tuple[int, int]:
        """Real tokens and loss tokens of the whole global batch of ``step``, the same on every rank."""
        return self.dataset.count_tokens(step * self.global_batch_size, (step + 1) * self.global_batch_size)

    def num_sequences(self, step: int) -> int:
        """Rows of the whole global batch of ``step``."""
        return self.dataset.count_rows(step * self.global_batch_size, (step + 1) * self.global_batch_size)

    def row_lengths(self, step: int) -> IntArray:
        """Tokens of every row of the whole global batch of ``step``."""
        return self.dataset.row_lengths(step * self.global_batch_size, (step + 1) * self.global_batch_size)

    def _pack_costs(self, step: int) -> FloatArray:
        first = step * self.global_batch_size
        return self.dataset.costs(first, first + self.global_batch_size, self.attention_weight)

    def _assign(self, step: int) -> IntArray:
        """Packs of ``step`` by replica and micro-batch [dp_size, micro-batches of each, micro_batch_size]."""
        costs = self._pack_costs(step)
        groups = np.sort(share_out(costs, self.global_batch_size // self.micro_batch_size), axis=1)
        shares = share_out(costs[groups].sum(axis=1), self.dp_size)
        ordered = np.stack([rise_and_fall(share) for share in shares])
        return groups[ordered] + step * self.global_batch_size
