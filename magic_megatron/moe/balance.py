"""The router's losses, Eq. 14–16 and Table 6, on the tokens that one rank holds. Mathematics only.

Shape letters: T tokens that this rank holds, E experts (N_E in the paper), K experts chosen per token, G groups
into which tokens are put: one for a whole batch, or one for each micro-batch or sequence.

Every loss here is a rank's exact share: a sum over its own real tokens, with factors that are the same on all
ranks. Shares of ranks and of micro-batches add up to the loss of the global batch, and so do their gradients,
however the batch was spread. No function communicates.
"""

from __future__ import annotations

from torch import Tensor


def selection_fractions(counts: Tensor) -> Tensor:
    """f: the share of the (token, slot) assignments that went to each expert. Sums to 1 over the experts.

    Args:
        counts: assignments per expert [..., E]; where there are none, f is 0.
    """
    return counts / counts.sum(dim=-1, keepdim=True).clamp(min=1)


def sum_by_group(
    values: Tensor, real: Tensor, group_ids: Tensor | None = None, num_groups: int = 1
) -> Tensor:
    """Sums of ``values`` [T, E] over the real tokens of each group [G, E].

    Args:
        real: of the dtype of ``values`` [T]; 1 for real tokens, prompts included, 0 for padding.
        group_ids: int64 [T], below ``num_groups``, at padding too; ``None`` where there is one group.
        num_groups: G.
    """
    if group_ids is None:
        return (real @ values).unsqueeze(0)
    zeros = values.new_zeros(num_groups, values.shape[-1])
    return zeros.index_add(0, group_ids, values * real.unsqueeze(-1))


def load_balancing_loss(
    prob_sums: Tensor, fractions: Tensor, num_tokens: Tensor | int, num_groups: int
) -> Tensor:
    """Share of the mean over groups of N_E · Σ_i f_i · P_i (Eq. 15), P_i a group's mean probability of expert i.

    With the global batch as the one group this is the paper's loss; micro-batches or sequences as groups make the
    other two of Table 6. A balanced router has 1. The loss is linear in P: given f and the number of tokens of a
    group, each token's share of value and gradient is exact by itself. f carries no gradient.

    Args:
        prob_sums: sums of the router's probabilities over this rank's tokens of each group [G, E].
        fractions: f of the whole groups [G, E], see ``selection_fractions``.
        num_tokens: real tokens of the whole groups [G], or of the one group.
        num_groups: groups in the global batch.

    Returns:
        A scalar.
    """
    num_experts = prob_sums.shape[-1]
    return ((fractions.detach() * prob_sums).sum(dim=-1) / num_tokens).sum() * (num_experts / num_groups)


def variance_loss(probs: Tensor, mean_probs: Tensor, num_tokens: Tensor | int, real: Tensor) -> Tensor:
    """Share of L_v = −(1/n) · Σ_j mean_i (s_ij − s̄_j)²: minus the variance of a score, mean over experts.

    From Guo 2025, which sums over the tokens i; the mean is ours, so that the coefficient doesn't depend on the
    batch. As a mean distance to a constant it has the exact gradient too, since s̄ is where that is smallest.

    Args:
        probs: s, softmax of the router's logits over all n experts [T, E].
        mean_probs: s̄, their mean over the global batch [E].
        num_tokens: real tokens of the global batch.
        real: as in ``sum_by_group`` [T].

    Returns:
        A scalar, at most 0.
    """
    return -(real @ (probs - mean_probs.detach()).square().mean(dim=-1)) / num_tokens


def z_loss(logsumexp: Tensor, num_tokens: int, real: Tensor) -> Tensor:
    """Share of L_z, the mean over tokens of (logsumexp of the logits)² (Eq. 16; Zoph et al. 2022).

    Args:
        logsumexp: over each token's logits [T].
        num_tokens: real tokens of the global batch.
        real: as in ``sum_by_group`` [T].

    Returns:
        A scalar.
    """
    return (real @ logsumexp.square()) / num_tokens
