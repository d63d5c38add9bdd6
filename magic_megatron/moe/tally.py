"""What the routers of a step count, in one tensor, and the metrics that follow from it.

Shape letters: L layers of the whole model, E experts, K experts chosen per token, D domains, T local tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from magic_megatron.moe.balance import count_selections, selection_fractions, sum_over_tokens
from magic_megatron.moe.metrics import domain_divergence, max_violation


@dataclass(frozen=True)
class RouterMetrics:
    """The routing of one global batch, over all layers of the model; the same in every layout.

    Attributes:
        load_balancing_loss: N_E · Σ f_i · P_i with this batch's own f, mean over the layers; 1 is balanced.
        z_loss: mean over tokens of (logsumexp of the logits)², mean over the layers.
        max_vio: MaxVio (Eq. 17), mean over the layers.
        max_vio_per_layer: MaxVio of each layer, L values.
        num_dropped_tokens: (token, slot) assignments that found their expert full, summed over the layers.
        tokens_per_expert: assignments before dropping, int64 [L, E].
        domain_counts: those of each domain, int64 [L, D, E]; ``None`` if they weren't counted.
        domain_divergence: mean Jensen–Shannon divergence between two domains' choices, in bits, mean over the
            layers; NaN with fewer than two domains in the batch, ``None`` if they weren't counted.
    """

    load_balancing_loss: float
    z_loss: float
    max_vio: float
    max_vio_per_layer: list[float]
    num_dropped_tokens: int
    tokens_per_expert: Tensor
    domain_counts: Tensor | None
    domain_divergence: float | None


class Tally:
    """Sums over tokens, a row for each layer; rows of other pipeline stages stay 0.

    Everything is in one float64 tensor ``sums``, so that one all-reduce adds up all ranks and fills in all
    stages. Counts are exact in it up to 2^53.
    """

    def __init__(self, num_layers: int, num_experts: int, num_domains: int, device: torch.device) -> None:
        widths = (num_experts, num_experts, 1, 1, num_domains * num_experts)
        self.sums = torch.zeros(num_layers, sum(widths), dtype=torch.float64, device=device)
        counts, prob_sums, z_sums, num_dropped, domain_counts = self.sums.split(widths, dim=-1)
        self.counts = counts
        self.prob_sums = prob_sums
        self.z_sums = z_sums.squeeze(-1)
        self.num_dropped = num_dropped.squeeze(-1)
        self.domain_counts = domain_counts.unflatten(-1, (num_domains, num_experts))

    @torch.no_grad()
    def add(
        self,
        layer: int,
        logits: Tensor,
        probs: Tensor,
        selected: Tensor,
        kept: Tensor,
        token_mask: Tensor,
        domain_ids: Tensor | None,
    ) -> None:
        """Count the tokens of one micro-batch at one layer.

        Args:
            layer: row, from 0.
            logits: [T, E].
            probs: softmax of the logits over all experts [T, E].
            selected: bool [T, E]; the router's choice, before an expert's capacity drops some.
            kept: bool [T, E]; what reaches the experts.
            token_mask: bool [T]; true for real tokens.
            domain_ids: int64 [T], anything at padding; ``None`` where the tally has no domains.
        """
        self.counts[layer] += count_selections(selected, token_mask)
        self.prob_sums[layer] += sum_over_tokens(probs, token_mask)
        self.z_sums[layer] += sum_over_tokens(torch.logsumexp(logits, dim=-1).square(), token_mask)
        self.num_dropped[layer] += count_selections(selected & ~kept, token_mask).sum()
        if domain_ids is not None:
            chosen = (selected & token_mask.unsqueeze(-1)).to(self.sums.dtype)
            self.domain_counts[layer].index_add_(0, domain_ids.clamp(min=0), chosen)

    def check(self, num_tokens: int, topk: int) -> None:
        """Every real token must have been counted exactly once at every layer.

        Raises:
            RuntimeError: the number of tokens given doesn't agree with the masks that reached the routers.
        """
        counted = self.counts.sum(dim=-1)
        if self.domain_counts.numel() and not torch.equal(self.domain_counts.sum(dim=1), self.counts):
            raise RuntimeError("a micro-batch had no domains; call begin_microbatch before each forward pass")
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

    def metrics(self, num_tokens: int) -> RouterMetrics:
        """Of a tally that was added up over all ranks, on the CPU."""
        num_experts, num_domains = self.counts.shape[-1], self.domain_counts.shape[1]
        mean_probs = self.prob_sums / num_tokens
        balance = num_experts * (selection_fractions(self.counts) * mean_probs).sum(dim=-1)
        max_vio = max_violation(self.counts)
        return RouterMetrics(
            load_balancing_loss=balance.mean().item(),
            z_loss=(self.z_sums / num_tokens).mean().item(),
            max_vio=max_vio.mean().item(),
            max_vio_per_layer=max_vio.tolist(),
            num_dropped_tokens=int(self.num_dropped.sum()),
            tokens_per_expert=self.counts.to(torch.int64),
            domain_counts=self.domain_counts.to(torch.int64) if num_domains else None,
            domain_divergence=domain_divergence(self.domain_counts).mean().item() if num_domains else None,
        )
