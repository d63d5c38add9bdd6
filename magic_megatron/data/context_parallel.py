"""Which tokens of a pack a context-parallel rank holds.

Every sequence is cut into 2·cp equal chunks and rank r takes chunks r and 2·cp-1-r (zigzag), so that under a
causal mask all ranks have the same work. Order and result are those of transformer-engine's
``thd_get_partitioned_indices``.
"""

from __future__ import annotations

import torch
from torch import Tensor


def partition_indices(cu_seqlens_padded: Tensor, cp_size: int, cp_rank: int) -> Tensor:
    """Positions in the pack of the tokens that rank ``cp_rank`` holds, in the order in which it holds them.

    Args:
        cu_seqlens_padded: [S + 1], integer: where each of S sequences starts, padding included, and T.
        cp_size: number of context-parallel ranks.
        cp_rank: one of them.

    Returns:
        LongTensor [T / cp_size].

    Raises:
        ValueError: a padded length that 2·cp_size doesn't divide.
    """
    starts = cu_seqlens_padded[:-1].long()
    lengths = cu_seqlens_padded[1:].long() - starts
    if cp_size == 1:
        return torch.arange(int(cu_seqlens_padded[-1]), device=starts.device)
    uneven = (lengths % (2 * cp_size)).nonzero()
    if uneven.numel():
        length = int(lengths[uneven[0]])
        raise ValueError(
            f"padded sequence length {length}: must divide by 2·cp={2 * cp_size}; set data.pad_multiple to a"
            f" multiple of {2 * cp_size}"
        )
    chunks = lengths // (2 * cp_size)
    sequence = torch.repeat_interleave(torch.arange(len(lengths), device=starts.device), 2 * chunks)
    held_before = torch.cumsum(2 * chunks, 0) - 2 * chunks
    offset = torch.arange(len(sequence), device=starts.device) - held_before[sequence]
    chunk = chunks[sequence]
    # The second chunk held starts at (2·cp-1-r)·chunk; for the rank that is its own position `chunk`.
    skipped = torch.where(offset < chunk, cp_rank * chunk, (2 * cp_size - 2 - cp_rank) * chunk)
    return starts[sequence] + offset + skipped
