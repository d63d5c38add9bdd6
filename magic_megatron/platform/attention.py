"""Core attention for rehearsal: causal, grouped queries, packed sequences, context parallel.

Megatron-Core's own DotProductAttention takes neither packed sequences nor context parallelism; only
transformer-engine's does, on GPUs.

Shapes: ``t`` tokens held by this rank, ``T = t·cp`` tokens of the pack, ``b`` batch (1 when packed), ``h``
query heads and ``g`` key-value heads of this tensor-parallel rank, ``d`` channels of a head.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.packed_seq_params import PackedSeqParams
from megatron.core.process_groups_config import ProcessGroupCollection
from megatron.core.tensor_parallel.mappings import gather_from_sequence_parallel_region
from megatron.core.transformer.enums import AttnMaskType
from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor

from magic_megatron.data.context_parallel import partition_indices


class RehearsalAttention(MegatronModule):
    """Same interface as Megatron-Core's core attention.

    A sequence costs the square of its own length, not of the pack's: each is one call of torch's fused causal
    kernel. Under context parallelism the keys and values of the whole pack are gathered first, and each rank
    attends with its two chunks of every sequence.
    """

    def __init__(
        self,
        config: TransformerConfig,
        layer_number: int,
        attn_mask_type: AttnMaskType,
        attention_type: str,
        attention_dropout: float | None = None,
        softmax_scale: float | None = None,
        cp_comm_type: str | None = None,
        pg_collection: ProcessGroupCollection | None = None,
        **unused: Any,
    ) -> None:
        super().__init__(config=config)
        dropout = config.attention_dropout if attention_dropout is None else attention_dropout
        if dropout != 0.0:
            raise ValueError(f"attention_dropout={dropout}: not in rehearsal; use attention_dropout=0.0")
        if config.window_size is not None or config.softmax_type != "vanilla":
            raise ValueError(
                "window_size, softmax_type: rehearsal has full causal attention only; unset them"
            )
        groups = pg_collection or ProcessGroupCollection.use_mpu_process_groups(required_pgs=["cp"])
        self.cp_group = groups.cp
        self.scale = 1.0 / math.sqrt(config.kv_channels) if softmax_scale is None else softmax_scale

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        attn_mask_type: AttnMaskType | None = None,
        attention_bias: Tensor | None = None,
        packed_seq_params: PackedSeqParams | None = None,
        **unused: Any,
    ) -> Tensor:
        """Causal attention within each sequence.

        Args:
            query: [t, h, d] when packed, else [t, b, h, d].
            key, value: likewise with g heads.
            attention_mask: ignored, the mask is causal; padding stands behind the tokens it could disturb.
            packed_seq_params: where sequences start, padding included; ``None`` for one sequence a row.

        Returns:
            [t, b, h·d].

        Raises:
            ValueError: a mask that isn't causal, or a bias.
        """
        if (
            attn_mask_type not in (None, AttnMaskType.causal, AttnMaskType.padding_causal)
            or attention_bias is not None
        ):
            raise ValueError(
                f"attn_mask_type={attn_mask_type}: rehearsal has causal attention without bias only"
            )
        if packed_seq_params is not None:
            query, key, value = (x.unsqueeze(1) if x.dim() == 3 else x for x in (query, key, value))
        num_tokens, batch = query.shape[:2]
        plan = attention_plan(
            _boundaries(packed_seq_params, num_tokens * self.cp_group.size()),
            self.cp_group.size(),
            self.cp_group.rank(),
        )
        if self.cp_group.size() > 1:
            key, value = self._gather(key, value, plan)
        out = attend(query, key, value, plan, self.scale)
        return out.reshape(num_tokens, batch, -1)

    def _gather(self, key: Tensor, value: Tensor, plan: AttentionPlan) -> tuple[Tensor, Tensor]:
        """Keys and values [T, b, g, d] of the whole pack, in its order; backward sums over the ranks."""
        both = torch.cat((key, value), dim=-1)
        both = gather_from_sequence_parallel_region(both, group=self.cp_group)
        key, value = both.index_select(0, plan.gathered_order).split((key.shape[-1], value.shape[-1]), dim=-1)
        return key, value


@dataclass(frozen=True)
class Piece:
    """Queries that lie together in a sequence, and the keys that they may see.

    Attributes:
        num_queries: how many, the next ones of this rank.
        start: of the sequence, in the pack.
        num_keys: from the start of the sequence up to the last query.
        mask: bool [num_queries, num_keys], or ``None`` where both ranges are the same and plain causal fits.
    """

    num_queries: int
    start: int
    num_keys: int
    mask: Tensor | None


@dataclass(frozen=True)
class AttentionPlan:
    """What one rank computes for a pack.

    Attributes:
        pieces: in the order in which the rank holds its tokens.
        gathered_order: [T], where each token of the pack is after an all-gather over the ranks.
    """

    pieces: tuple[Piece, ...]
    gathered_order: Tensor


@functools.lru_cache(maxsize=256)
def attention_plan(boundaries: tuple[int, ...], cp_size: int, cp_rank: int) -> AttentionPlan:
    """The plan for the pack whose sequences, padding included, lie between ``boundaries``.

    Cached: all layers, and recomputation, ask for the same few packs in flight.
    """
    pieces = []
    for start, end in itertools.pairwise(boundaries):
        length = end - start
        if cp_size == 1:
            pieces.append(Piece(length, start, length, mask=None))
            continue
        chunk = length // (2 * cp_size)
        for index in (cp_rank, 2 * cp_size - 1 - cp_rank):
            pieces.append(Piece(chunk, start, (index + 1) * chunk, _mask(chunk, index * chunk)))
    cu_seqlens = torch.tensor(boundaries)
    held = torch.cat([partition_indices(cu_seqlens, cp_size, rank) for rank in range(cp_size)])
    return AttentionPlan(tuple(piece for piece in pieces if piece.num_queries), held.argsort())


def _mask(num_queries: int, num_before: int) -> Tensor | None:
    """Causal mask of queries that have ``num_before`` keys before the first of them."""
    if num_before == 0:
        return None
    return torch.ones(num_queries, num_before + num_queries, dtype=torch.bool).tril(num_before)


def attend(query: Tensor, key: Tensor, value: Tensor, plan: AttentionPlan, scale: float) -> Tensor:
    """Softmax attention of every piece of the plan.

    Args:
        query: [t, b, h, d], this rank's tokens.
        key, value: [T, b, g, d], all tokens of the pack in its order.
        scale: factor of the logits.

    Returns:
        [t, b, h, d].
    """
    grouped = query.shape[2] != key.shape[2]
    outputs = []
    for piece, q in zip(plan.pieces, query.split([p.num_queries for p in plan.pieces]), strict=True):
        keys = slice(piece.start, piece.start + piece.num_keys)
        q, k, v = (x.permute(1, 2, 0, 3) for x in (q, key[keys], value[keys]))
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=piece.mask, is_causal=piece.mask is None, scale=scale, enable_gqa=grouped
        )
        outputs.append(out.permute(2, 0, 1, 3))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def _boundaries(packed: PackedSeqParams | None, num_tokens: int) -> tuple[int, ...]:
    if packed is None:
        return (0, num_tokens)
    starts = packed.cu_seqlens_q if packed.cu_seqlens_q_padded is None else packed.cu_seqlens_q_padded
    boundaries = tuple(starts.tolist())
    assert boundaries[-1] == num_tokens, f"sequences end at {boundaries[-1]}, the pack at {num_tokens}"
    return boundaries
