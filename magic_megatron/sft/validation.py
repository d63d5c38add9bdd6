"""Held-out rows: loss, and how many of them the model would answer right.

A row is an exact match if every token that is learned in it is the most probable one, given those before it. Then
greedy decoding gives the row's answer to the letter; no generation is needed to know it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.pipeline_parallel import get_forward_backward_func
from megatron.core.tensor_parallel import vocab_parallel_cross_entropy
from torch import Tensor

from magic_megatron.data.batch import MicroBatch, collate
from magic_megatron.data.dataset import PackedDataset

_COLUMNS = ("loss", "num_correct_tokens", "num_loss_tokens", "num_exact_rows", "num_rows")


@dataclass(frozen=True)
class Validation:
    """One pass over a data set, in the layout of the training run.

    Attributes:
        model: the DDP-wrapped chunk of this rank.
        micro_batch_size: packs of a forward pass, as in training.
        dp_size: replicas, which share out the packs.
    """

    model: torch.nn.Module
    dataset: PackedDataset
    micro_batch_size: int
    dp_size: int

    @torch.no_grad()
    def __call__(self) -> dict[str, Any]:
        """Metrics over all rows and by domain, the same on every rank and in every layout.

        Keys: ``loss`` (mean over the target tokens), ``token_accuracy``, ``exact_match`` (share of rows), ``num_rows``,
        and ``domains``, the same by domain.
        """
        domains = self.dataset.manifest.domains
        sums = torch.zeros(
            len(domains), len(_COLUMNS), dtype=torch.float64, device=torch.cuda.current_device()
        )
        batches = self._microbatches()
        self.model.eval()
        get_forward_backward_func()(
            forward_step_func=lambda batches, model: _forward_step(batches, model, sums),
            data_iterator=iter(batches),
            model=[self.model],
            num_microbatches=len(batches),
            seq_length=self.micro_batch_size * self.dataset.sequence_length,
            micro_batch_size=1,
            forward_only=True,
        )
        self.model.train()
        dist.all_reduce(sums)
        return {
            **_metrics(sums.sum(dim=0)),
            "domains": {name: _metrics(row) for name, row in zip(domains, sums, strict=True) if row[-1] > 0},
        }

    def _microbatches(self) -> list[_Share]:
        """This rank's; all replicas have as many, since they route tokens to one another's experts."""
        size, dp_rank = self.micro_batch_size, parallel_state.get_data_parallel_rank()
        cp_size = parallel_state.get_context_parallel_world_size()
        cp_rank = parallel_state.get_context_parallel_rank()
        device = torch.device(torch.cuda.current_device())
        found, num_packs = [], self.dataset.num_packs(1)
        for first in range(0, num_packs, size * self.dp_size):
            packs = range(first + dp_rank * size, first + (dp_rank + 1) * size)
            counted = [pack for pack in packs if pack < num_packs]
            filled = [pack if pack < num_packs else 0 for pack in packs]
            batch = collate([self.dataset[pack] for pack in filled])
            num_rows = sum(len(self.dataset.rows_of(pack)) for pack in counted)
            found.append(_Share(batch.context_parallel_part(cp_size, cp_rank).to(device), num_rows))
        return found


@dataclass(frozen=True)
class _Share:
    """A micro-batch, whose first ``num_rows`` rows count; the others fill it up."""

    batch: MicroBatch
    num_rows: int


def _forward_step(batches: Iterator[_Share], model: torch.nn.Module, sums: Tensor) -> tuple[Tensor, Any]:
    share = next(batches)
    batch = share.batch
    output = model(
        input_ids=batch.tokens,
        position_ids=batch.position_ids,
        attention_mask=None,
        packed_seq_params=batch.packed_seq_params,
        padding_mask=batch.padding_mask,
    )

    def count(logits: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        sums.add_(_count(logits, share, len(sums)))
        nothing = torch.zeros((), device=logits.device)
        return nothing, nothing.int(), {}

    return output, count


def _count(logits: Tensor, share: _Share, num_domains: int) -> Tensor:
    """The sums of a micro-batch by domain [D, columns], on one rank of those that know them; zero on the others.

    Args:
        logits: of this rank's part of the vocabulary [1, S, V / tp].
    """
    batch = share.batch
    learned = (batch.loss_mask * (batch.sequence_ids < share.num_rows)).squeeze(0).double()
    labels = batch.labels.clamp(min=0)
    losses = vocab_parallel_cross_entropy(logits.float(), labels).squeeze(0)
    correct = _is_most_probable(logits.float(), labels).squeeze(0).double()
    row = batch.sequence_ids.squeeze(0)
    by_row = torch.zeros(3, batch.num_sequences, dtype=torch.float64, device=logits.device)
    by_row.index_add_(1, row, torch.stack([losses.double() * learned, correct * learned, learned]))
    domain_of_row = torch.full((batch.num_sequences,), -1, device=logits.device)
    domain_of_row.scatter_reduce_(0, row, batch.domain_ids.squeeze(0), "amax")
    if parallel_state.get_context_parallel_world_size() > 1:
        group = parallel_state.get_context_parallel_group()
        dist.all_reduce(by_row, group=group)
        dist.all_reduce(domain_of_row, op=dist.ReduceOp.MAX, group=group)
    found = torch.zeros(num_domains, len(_COLUMNS), dtype=torch.float64, device=logits.device)
    if parallel_state.get_tensor_model_parallel_rank() or parallel_state.get_context_parallel_rank():
        return found
    counts = torch.arange(batch.num_sequences, device=logits.device) < share.num_rows
    exact = (by_row[1] == by_row[2]) & counts
    columns = torch.cat([by_row, torch.stack([exact, counts]).double()]).T
    return found.index_add_(0, domain_of_row.clamp(min=0), columns)


def _is_most_probable(logits: Tensor, labels: Tensor) -> Tensor:
    """bool [1, S]: the label has the largest logit of the whole vocabulary."""
    first = parallel_state.get_tensor_model_parallel_rank() * logits.shape[-1]
    own = labels - first
    is_here = (own >= 0) & (own < logits.shape[-1])
    of_label = logits.gather(-1, own.clamp(0, logits.shape[-1] - 1).unsqueeze(-1)).squeeze(-1)
    both = torch.stack([logits.amax(dim=-1), of_label.masked_fill(~is_here, -torch.inf)])
    if parallel_state.get_tensor_model_parallel_world_size() > 1:
        dist.all_reduce(both, op=dist.ReduceOp.MAX, group=parallel_state.get_tensor_model_parallel_group())
    return both[1] >= both[0]


def _metrics(sums: Tensor) -> dict[str, Any]:
    loss, correct, num_tokens, exact, num_rows = sums.tolist()
    return {
        "loss": loss / max(num_tokens, 1),
        "token_accuracy": correct / max(num_tokens, 1),
        "exact_match": exact / max(num_rows, 1),
        "num_rows": int(num_rows),
    }
