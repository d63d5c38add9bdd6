"""What the routers of a step count, in one tensor, and the metrics that follow from it.

Shape letters: L layers of the whole model, E experts, K experts chosen per token, D domains, T local tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from magic_megatron.moe.balance import selection_fractions, sum_by_group
from magic_megatron.moe.metrics import domain_divergence, max_violation


@dataclass(frozen=True)
class RoutedTokens:
    """A micro-batch at one layer, on this rank.

    Attributes:
        layer: place in the whole model, from 0.
        probs: softmax of the logits over all experts [T, E], float32.
        logsumexp: of the logits [T], float32.
        selected: 1 for the experts chosen, before an expert's capacity drops some [T, E], float32.
        real: 1 for real tokens, 0 for padding [T], float32.
        domain_ids: int64 [T], anything at padding; ``None`` where domains aren't counted.
        sequence_ids: int64 [T], at padding too; ``None`` where no loss asks for them.
        microbatch_group: the ranks that hold the micro-batch's other tokens at this layer.
        batch_group: those and the ones with other micro-batches.
    """

    layer: int
    probs: Tensor
    logsumexp: Tensor
    selected: Tensor
    real: Tensor
    domain_ids: Tensor | None
    sequence_ids: Tensor | None
    microbatch_group: dist.ProcessGroup
    batch_group: dist.ProcessGroup


@dataclass
class BatchStatistics:
    """Sums over all tokens of a global batch, or of its micro-batches so far; the same on every rank.

    Attributes:
        counts: assignments to each expert [L, E].
        prob_sums: of the router's probabilities [L, E].
    """

    counts: Tensor
    prob_sums: Tensor


@dataclass(frozen=True)
class RouterMetrics:
    """The routing of one global batch, over all layers of the model; the same in every layout.

    Attributes:
        load_balancing_loss: N_E · Σ f_i · P_i with this batch's own f, mean over the layers; 1 is balanced.
        aux_loss: the loss that ``moe.load_balancing`` names, as it was optimised, without its coefficient; mean over
            the layers.
        z_loss: mean over tokens of (logsumexp of the logits)², mean over the layers.
        max_vio: MaxVio (Eq. 17), mean over the layers.
        max_vio_per_layer: MaxVio of each layer, L values.
        num_dropped_tokens: (token, slot) assignments that found their expert full, summed over the layers.
        statistics: counts before dropping and sums of probabilities, float64 [L, E] each.
        domain_counts: those of each domain, int64 [L, D, E]; ``None`` if they weren't counted.
        domain_divergence: mean Jensen–Shannon divergence between two domains' choices, in bits, mean over the
            layers; ``None`` with fewer than two domains in the batch.
    """

    load_balancing_loss: float
    aux_loss: float
    z_loss: float
    max_vio: float
    max_vio_per_layer: list[float]
    num_dropped_tokens: int
    statistics: BatchStatistics
    domain_counts: Tensor | None
    domain_divergence: float | None


class Tally:
    """Sums over tokens, a row for each layer; rows of other pipeline stages stay 0.

    Everything is in one float64 tensor ``sums``, so that one all-reduce adds up all ranks and fills in all
    stages. Counts are exact in it up to 2^53.
    """

    def __init__(self, num_layers: int, num_experts: int, num_domains: int, device: torch.device) -> None:
        widths = (num_experts, num_experts, 1, 1, 1, num_domains * num_experts)
        self.sums = torch.zeros(num_layers, sum(widths), dtype=torch.float64, device=device)
        self.counts, self.prob_sums, *scalars, domain_counts = self.sums.split(widths, dim=-1)
        self.aux_sums, self.z_sums, self.num_dropped = (column.squeeze(-1) for column in scalars)
        self.domain_counts = domain_counts.unflatten(-1, (num_domains, num_experts))
        self._domains = torch.arange(num_domains, device=device).unsqueeze(-1)

    @torch.no_grad()
    def add(self, tokens: RoutedTokens, kept: Tensor | None) -> None:
        """Count the tokens of one micro-batch at one layer.

        Args:
            kept: bool [T, E]; what reaches the experts, ``None`` where that is all that was selected.
        """
        layer, real = tokens.layer, tokens.real
        self.counts[layer] += sum_by_group(tokens.selected, real)[0]
        self.prob_sums[layer] += sum_by_group(tokens.probs, real)[0]
        self.z_sums[layer] += real @ tokens.logsumexp.square()
        if kept is not None:
            self.num_dropped[layer] += real @ (tokens.selected * ~kept).sum(dim=-1)
        if tokens.domain_ids is not None:
            of_domain = (tokens.domain_ids == self._domains) * real
            self.domain_counts[layer] += of_domain @ tokens.selected

    @torch.no_grad()
    def add_aux_loss(self, layer: int, share: Tensor) -> None:
        """Add a micro-batch's share of the loss that ``moe.load_balancing`` names."""
        self.aux_sums[layer] += share

    def check(self, num_tokens: int, topk: int) -> None:
        """Every real token must have been counted exactly once at every layer.

        Raises:
            RuntimeError: the number of tokens given doesn't agree with the masks that reached the routers.
        """
        counted = self.counts.sum(dim=-1)
        if self.domain_counts.numel() and not torch.equal(self.domain_counts.sum(dim=1), self.counts):
            raise RuntimeError("a micro-batch had no domains; run each forward pass inside microbatch()")
        if not torch.all(counted == num_tokens * topk):
            found = [round(count / topk, 3) for count in counted.tolist()]
            raise RuntimeError(
                f"the routers counted {found} real tokens by layer, but the step was begun with {num_tokens};"
                " begin_step wants the real tokens of the global batch, and the model its padding_mask"
            )

    def to_cpu(self) -> Tally:
        """A copy whose numbers Python may read without waiting for a device each time."""
        num_layers, num_domains, num_experts = self.domain_counts.shape
        copy = Tally(num_layers, num_experts, num_domains, torch.device("cpu"))
        copy.sums.copy_(self.sums)
        return copy

    def statistics(self) -> BatchStatistics:
        """Of a tally that was added up over all ranks; a copy."""
        return BatchStatistics(self.counts.clone(), self.prob_sums.clone())

    def metrics(self, num_tokens: int) -> RouterMetrics:
        """Of a tally that was added up over all ranks, on the CPU."""
        num_experts, num_domains = self.counts.shape[-1], self.domain_counts.shape[1]
        mean_probs = self.prob_sums / num_tokens
        balance = num_experts * (selection_fractions(self.counts) * mean_probs).sum(dim=-1)
        max_vio = max_violation(self.counts)
        divergence = domain_divergence(self.domain_counts).mean().item() if num_domains > 1 else math.nan
        return RouterMetrics(
            load_balancing_loss=balance.mean().item(),
            aux_loss=self.aux_sums.mean().item(),
            z_loss=(self.z_sums / num_tokens).mean().item(),
            max_vio=max_vio.mean().item(),
            max_vio_per_layer=max_vio.tolist(),
            num_dropped_tokens=int(self.num_dropped.sum()),
            statistics=self.statistics(),
            domain_counts=self.domain_counts.to(torch.int64) if num_domains else None,
            domain_divergence=None if math.isnan(divergence) else divergence,
        )
