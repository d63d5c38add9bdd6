"""Even shares of a global batch: what a pack costs, and who takes it.

The linear layers cost the same for every pack of one length. Attention doesn't: a row of n tokens attends to
n²/2 pairs, so a pack of one long row costs more than one of many short rows, and the slowest rank sets the pace.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from magic_megatron.config.model import ModelConfig
from magic_megatron.data.mixture import IntArray
from magic_megatron.planner.flops import attention_flops, linear_flops, output_flops

FloatArray = NDArray[np.float64]


def attention_weight(model: ModelConfig, vocab_size: int) -> float:
    """Attention's FLOPs for a row of n tokens, as a multiple of n² and of the linear layers' FLOPs for one token."""
    return attention_flops(model, 1.0) / (linear_flops(model) + output_flops(model, vocab_size))


def share_out(costs: FloatArray, num_shares: int) -> IntArray:
    """Split things into shares of one size and, as nearly as that allows, of one cost.

    They are dealt in rounds, the costliest first; in each round the costliest goes to the share that has cost the
    least so far. Ties go by number, so the same costs give the same shares. O(n log n).

    Args:
        costs: of each thing [n], n a multiple of ``num_shares``.

    Returns:
        Numbers of the things in each share, in order of rounds [num_shares, n / num_shares].
    """
    rounds = np.argsort(-costs, kind="stable").reshape(-1, num_shares)
    totals, shares = np.zeros(num_shares), np.empty_like(rounds.T)
    for number, dealt in enumerate(rounds):
        cheapest_first = np.argsort(totals, kind="stable")
        shares[cheapest_first, number] = dealt
        totals[cheapest_first] += costs[dealt]
    return shares


def rise_and_fall(descending: IntArray) -> IntArray:
    """Things ordered from costly to cheap, laid out with the costliest in the middle and cheap ones at both ends.

    A pipeline waits for its first micro-batch to come through and for its last one to return: those are cheap.
    """
    return np.concatenate([descending[1::2][::-1], descending[::2]])
