"""Packs laid end to end as one ``thd`` sequence for megatron-core, and its context-parallel parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from megatron.core.packed_seq_params import PackedSeqParams
from torch import Tensor

from magic_megatron.data.context_parallel import partition_indices
from magic_megatron.data.dataset import Pack


@dataclass(frozen=True)
class MicroBatch:
    """One packed sequence of S tokens: ``micro_batch_size`` packs end to end, in a batch of 1.

    Fields are those of ``Pack``, each tensor per token [1, S], and

    Attributes:
        padding_mask: bool [1, S]; True at padding, as megatron-core's MoE layers take it.
        sequence_ids: int64 [1, S]; number of the row among those of the micro-batch, at its padding too.
        packed_seq_params: of the whole sequence. A context-parallel part keeps it: transformer-engine wants
            the ``cu_seqlens`` of all ranks together.
    """

    tokens: Tensor
    labels: Tensor
    loss_mask: Tensor
    position_ids: Tensor
    token_mask: Tensor
    domain_ids: Tensor
    padding_mask: Tensor
    sequence_ids: Tensor
    packed_seq_params: PackedSeqParams

    @property
    def num_sequences(self) -> int:
        """Rows in the micro-batch, over all context-parallel ranks."""
        return len(self.packed_seq_params.cu_seqlens_q) - 1

    def context_parallel_part(self, cp_size: int, cp_rank: int) -> MicroBatch:
        """What rank ``cp_rank`` of ``cp_size`` holds: tensors [1, S / cp_size], zigzag within each row."""
        if cp_size == 1:
            return self
        own = partition_indices(self.packed_seq_params.cu_seqlens_q_padded, cp_size, cp_rank)
        return self._map_tensors(lambda tensor: tensor[:, own.to(tensor.device)])

    def to(self, device: torch.device | str) -> MicroBatch:
        """A copy on ``device``, ``cu_seqlens`` included."""
        moved = self._map_tensors(lambda tensor: tensor.to(device, non_blocking=True))
        params = self.packed_seq_params
        on_device = {
            field.name: value.to(device)
            for field in fields(params)
            if isinstance(value := getattr(params, field.name), Tensor)
        }
        return replace(moved, packed_seq_params=replace(params, **on_device))

    def _map_tensors(self, change: Callable[[Tensor], Tensor]) -> MicroBatch:
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: change(v) for k, v in named.items() if isinstance(v, Tensor)})


def collate(packs: Sequence[Pack]) -> MicroBatch:
    """Lay packs of one length end to end."""
    params = PackedSeqParams(
        qkv_format="thd",
        # A row's padding follows it, so no real token attends to it; as a part of the row it keeps
        # transformer-engine's flash attention, which knows no gaps between sequences.
        cu_seqlens_q=(padded := _join([pack.cu_seqlens_padded for pack in packs])),
        cu_seqlens_kv=padded,
        cu_seqlens_q_padded=padded,
        cu_seqlens_kv_padded=padded,
        max_seqlen_q=(longest := max(pack.max_seqlen for pack in packs)),
        max_seqlen_kv=longest,
    )

    def line_up(field: str) -> Tensor:
        return torch.cat([getattr(pack, field) for pack in packs]).unsqueeze(0)

    per_token = ("tokens", "labels", "loss_mask", "position_ids", "token_mask", "domain_ids")
    columns = {field: line_up(field) for field in per_token}
    return MicroBatch(
        **columns,
        padding_mask=~columns["token_mask"],
        sequence_ids=torch.repeat_interleave(torch.diff(padded).long()).unsqueeze(0),
        packed_seq_params=params,
    )


def _join(cu_seqlens: Sequence[Tensor]) -> Tensor:
    """Cumulative lengths of sequences laid end to end, from those of each part."""
    lengths = torch.cat([torch.diff(part) for part in cu_seqlens])
    return torch.cat([torch.zeros(1, dtype=torch.int32), torch.cumsum(lengths, 0, dtype=torch.int32)])
