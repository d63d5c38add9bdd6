"""The router's losses, Eq. 14–16, on the tokens that one rank holds. Mathematics only.

Shape letters: T tokens that this rank holds, E experts (N_E in the paper), K experts chosen per token.

Every loss here is a rank's exact share: a sum over its own real tokens, divided by the number of real tokens
of the whole global batch. Shares of ranks and of micro-batches add up to the loss of the global batch, and so
do their gradients, however the batch was spread. No function communicates.
"""

from __future__ import annotations

import torch
from torch import Tensor


def selection_fractions(counts: Tensor) -> Tensor:
    """f: the share of the (token, slot) assignments that went to each expert. Sums to 1 over the experts.

    Args:
        counts: assignments per expert [..., E], at least one.
    """
    return counts / counts.sum(dim=-1, keepdim=True)


def count_selections(selected: Tensor, token_mask: Tensor) -> Tensor:
    """Assignments per expert [E] of the real tokens.

    Args:
        selected: bool [T, E]; K experts are true in each row.
        token_mask: bool [T]; true for real tokens, prompts included, false for padding.
    """
    return (selected & token_mask.unsqueeze(-1)).sum(dim=0)


def sum_over_tokens(values: Tensor, token_mask: Tensor) -> Tensor:
    """Sum of ``values`` [T, …] over the real tokens, those where ``token_mask`` [T] is true."""
    padding = ~token_mask.reshape(-1, *[1] * (values.dim() - 1))
    return values.masked_fill(padding, 0.0).sum(dim=0)


def load_balancing_loss(probs: Tensor, fractions: Tensor, num_tokens: int, token_mask: Tensor) -> Tensor:
    """Share of L = N_E · Σ_i f_i · P_i (Eq. 15), where P_i is the mean probability of expert i.

    A balanced router has L = 1. The loss is linear in P: given f and the number of tokens of the whole
    batch, each token's share of value and gradient is exact by itself. f carries no gradient.

    Args:
        probs: softmax of the router's logits over all experts [T, E].
        fractions: f of the global batch [E], see ``selection_fractions``.
        num_tokens: real tokens of the global batch.
        token_mask: bool [T]; true for real tokens.

    Returns:
        A scalar.
    """
    num_experts = probs.shape[-1]
    prob_sums = sum_over_tokens(probs, token_mask)
    return num_experts * (fractions.detach().to(probs.dtype) * prob_sums).sum() / num_tokens


def z_loss(logits: Tensor, num_tokens: int, token_mask: Tensor) -> Tensor:
    """Share of L_z, the mean over tokens of (logsumexp of the logits)² (Eq. 16; Zoph et al. 2022).

    Args:
        logits: of the router [T, E].
        num_tokens: real tokens of the global batch.
        token_mask: bool [T]; true for real tokens.

    Returns:
        A scalar.
    """
    return sum_over_tokens(torch.logsumexp(logits, dim=-1).square(), token_mask) / num_tokens
