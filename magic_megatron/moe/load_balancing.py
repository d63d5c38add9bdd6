"""The losses that ``moe.load_balancing`` can name, and what the routers of a rank share during a step.

To add one: its mathematics in ``balance.py``, an entry in ``LOAD_BALANCING``, its name in ``MoeConfig``.
Shape letters: T tokens of a micro-batch on this rank, E experts, G groups of tokens, L layers of the whole model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from magic_megatron.config.moe import MoeConfig
from magic_megatron.moe.balance import (
    load_balancing_loss,
    selection_fractions,
    sum_by_group,
    variance_loss,
)
from magic_megatron.moe.tally import BatchStatistics, RoutedTokens, Tally


@dataclass
class Step:
    """What all routers of one rank share; ``RouterStatistics`` keeps it.

    Attributes:
        topk: K, experts chosen per token.
        phase: ``idle`` between steps, ``counting`` in the forward pass for statistics, else ``training``.
        num_tokens: real tokens of the global batch.
        num_loss_tokens: its tokens with a loss, the number by which the gradients will be divided.
        num_microbatches: its micro-batches, over all data-parallel ranks.
        num_sequences: its sequences.
        known: statistics of the batch that the loss is to use; ``None`` while there are none.
        domain_ids: of the current micro-batch [B, S], not split for sequence parallelism.
        sequence_ids: likewise; numbers of its sequences, from 0, at padding too.
        num_local_sequences: sequences of the current micro-batch.
    """

    moe: MoeConfig
    topk: int
    tally: Tally
    phase: Literal["idle", "counting", "training"] = "idle"
    num_tokens: int = 0
    num_loss_tokens: int = 0
    num_microbatches: int = 1
    num_sequences: int = 1
    known: BatchStatistics | None = None
    domain_ids: Tensor | None = None
    sequence_ids: Tensor | None = None
    num_local_sequences: int = 1

    @property
    def load_balancing(self) -> LoadBalancing:
        return LOAD_BALANCING[self.moe.load_balancing]


@dataclass(frozen=True)
class Surroundings:
    """What a loss must know of the tokens that aren't on this rank.

    Attributes:
        fractions: f of each group [G, E]; for the variance loss the mean probabilities [1, E].
        num_tokens: real tokens of each group [G], or of the one group.
        num_groups: groups in the global batch.
        group_ids: int64 [T], ``None`` where there is one group.
    """

    fractions: Tensor
    num_tokens: Tensor | int
    num_groups: int
    group_ids: Tensor | None = None


@dataclass(frozen=True)
class LoadBalancing:
    """A loss on the router's probabilities.

    Attributes:
        surround: gathers what ``share`` must know. Called once for a micro-batch, in its forward pass; may
            communicate.
        share: this rank's share of the loss, a scalar, from the softmax of its logits [T, E], 1 for real tokens and
            0 for padding [T], and those surroundings. Must not communicate.
        of_batch: it needs statistics of the whole batch, ``Step.known``.
    """

    surround: Callable[[Step, RoutedTokens], Surroundings | None]
    share: Callable[[Tensor, Tensor, Surroundings], Tensor]
    of_batch: bool


def _nothing(step: Step, tokens: RoutedTokens) -> None:
    """Without surroundings there is no loss."""


def _of_batch(step: Step, tokens: RoutedTokens) -> Surroundings:
    """f of the global batch, as far as ``moe.statistics`` knows it."""
    return Surroundings(
        selection_fractions(_known(step, tokens).counts[tokens.layer])[None], step.num_tokens, 1
    )


def _mean_probs(step: Step, tokens: RoutedTokens) -> Surroundings:
    known = _known(step, tokens)
    num_tokens = known.counts[tokens.layer].sum() / step.topk
    return Surroundings((known.prob_sums[tokens.layer] / num_tokens)[None], step.num_tokens, 1)


def _known(step: Step, tokens: RoutedTokens) -> BatchStatistics:
    if step.known is None:
        raise RuntimeError("the loads are unknown; run a forward pass inside RouterStatistics.counting()")
    if step.moe.statistics == "running":
        sums = torch.cat(
            [sum_by_group(tokens.selected, tokens.real), sum_by_group(tokens.probs.detach(), tokens.real)]
        )
        dist.all_reduce(sums, group=tokens.batch_group)
        step.known.counts[tokens.layer] += sums[0]
        step.known.prob_sums[tokens.layer] += sums[1]
    return step.known


def _of_microbatch(step: Step, tokens: RoutedTokens) -> Surroundings:
    counts = _group_counts(tokens, None, 1)
    num_tokens = counts.sum(dim=-1).clamp(min=1) / step.topk
    return Surroundings(selection_fractions(counts), num_tokens, step.num_microbatches)


def _of_sequences(step: Step, tokens: RoutedTokens) -> Surroundings:
    counts = _group_counts(tokens, tokens.sequence_ids, step.num_local_sequences)
    num_tokens = counts.sum(dim=-1).clamp(min=1) / step.topk
    return Surroundings(selection_fractions(counts), num_tokens, step.num_sequences, tokens.sequence_ids)


def _group_counts(tokens: RoutedTokens, group_ids: Tensor | None, num_groups: int) -> Tensor:
    counts = sum_by_group(tokens.selected, tokens.real, group_ids, num_groups)
    if tokens.microbatch_group.size() > 1:
        dist.all_reduce(counts, group=tokens.microbatch_group)
    return counts


def _balance_share(probs: Tensor, real: Tensor, around: Surroundings) -> Tensor:
    prob_sums = sum_by_group(probs, real, around.group_ids, num_groups=around.fractions.shape[0])
    return load_balancing_loss(prob_sums, around.fractions, around.num_tokens, around.num_groups)


def _variance_share(probs: Tensor, real: Tensor, around: Surroundings) -> Tensor:
    return variance_loss(probs, around.fractions[0], around.num_tokens, real)


LOAD_BALANCING = {
    "global": LoadBalancing(_of_batch, _balance_share, of_batch=True),
    "micro_batch": LoadBalancing(_of_microbatch, _balance_share, of_batch=False),
    "sequence": LoadBalancing(_of_sequences, _balance_share, of_batch=False),
    "variance": LoadBalancing(_mean_probs, _variance_share, of_batch=True),
    "none": LoadBalancing(_nothing, _balance_share, of_batch=False),
}
