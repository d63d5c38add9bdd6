"""Which packs a step trains on, and which of them a rank takes; a function of the step, nothing to save."""

from __future__ import annotations

from magic_megatron.data.batch import MicroBatch, collate
from magic_megatron.data.dataset import PackedDataset


class GlobalBatches:
    """Step ``s`` trains on packs ``s·G`` to ``(s + 1)·G - 1`` of the dataset, whatever the layout.

    A global batch is cut into micro-batches of ``micro_batch_size`` packs; replica ``dp_rank`` takes numbers
    ``dp_rank``, ``dp_rank + dp_size``, … of them. Epochs follow one another without a gap, each in its own
    order.

    Args:
        global_batch_size: G, packs of a step; a multiple of ``micro_batch_size · dp_size``
            (``magic_megatron.config.sft.num_microbatches`` says so to users).
    """

    def __init__(
        self,
        dataset: PackedDataset,
        global_batch_size: int,
        micro_batch_size: int,
        dp_rank: int,
        dp_size: int,
    ) -> None:
        assert global_batch_size % (micro_batch_size * dp_size) == 0
        assert 0 <= dp_rank < dp_size
        self.dataset = dataset
        self.global_batch_size, self.micro_batch_size = global_batch_size, micro_batch_size
        self.dp_rank, self.dp_size = dp_rank, dp_size

    def microbatches(self, step: int) -> list[MicroBatch]:
        """This replica's micro-batches of ``step``, in their order."""
        first, last = step * self.global_batch_size, (step + 1) * self.global_batch_size
        stride = self.dp_size * self.micro_batch_size
        starts = range(first + self.dp_rank * self.micro_batch_size, last, stride)
        return [collate([self.dataset[start + i] for i in range(self.micro_batch_size)]) for start in starts]

    def num_tokens(self, step: int) -> tuple[int, int]:
        """Real tokens and loss tokens of the whole global batch of ``step``, the same on every rank."""
        return self.dataset.count_tokens(step * self.global_batch_size, (step + 1) * self.global_batch_size)
