"""How balanced and how specialised the experts are, from counts alone (Eq. 17, Fig. 9 and 10).

Shape letters: L layers, D domains (task/subtask), E experts. Counts are assignments of tokens to experts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def max_violation(counts: Tensor) -> Tensor:
    """MaxVio = max_i (Load_i − mean Load) / mean Load (Eq. 17; Wang 2024): 0 is balanced, E − 1 the worst.

    Args:
        counts: loads of the experts over the global batch [..., E], not all 0.

    Returns:
        One value for each layer [...].
    """
    mean_load = counts.double().mean(dim=-1)
    return counts.double().amax(dim=-1) / mean_load - 1.0


def selection_frequencies(domain_counts: Tensor) -> Tensor:
    """Share of each domain's assignments that goes to each expert [..., D, E] (Fig. 10); NaN without tokens.

    Args:
        domain_counts: assignments [..., D, E].
    """
    return domain_counts.double() / domain_counts.sum(dim=-1, keepdim=True)


def domain_divergence(domain_counts: Tensor) -> Tensor:
    """Mean Jensen–Shannon divergence, in bits, between the selection frequencies of two domains.

    0 where all domains choose experts alike, 1 where no two share an expert. Domains without tokens are left
    out; NaN where fewer than two have any.

    Args:
        domain_counts: assignments [..., D, E].

    Returns:
        One value for each layer [...].
    """
    frequencies = selection_frequencies(domain_counts)
    first, second = torch.combinations(torch.arange(domain_counts.shape[-2])).unbind(dim=-1)
    p, q = frequencies[..., first, :], frequencies[..., second, :]
    divergence = _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2
    return divergence.nanmean(dim=-1)


def _entropy(distribution: Tensor) -> Tensor:
    """In bits; 0 · log 0 is 0."""
    return torch.special.entr(distribution).sum(dim=-1) / math.log(2.0)
