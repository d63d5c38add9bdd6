"""The losses that ``moe.load_balancing`` can name, and what the routers of a rank share during a step.

To add one: its mathematics in ``balance.py``, an entry in ``LOAD_BALANCING``, its name in ``MoeConfig``.
Shape letters: T tokens of a micro-batch on this rank, E experts, L layers of the whole model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch.distributed as dist
from torch import Tensor

from magic_megatron.config.moe import MoeConfig
from magic_megatron.moe.balance import count_selections, load_balancing_loss, selection_fractions
from magic_megatron.moe.tally import Tally


@dataclass
class Step:
    """What all routers of one rank share; ``RouterStatistics`` keeps it.

    Attributes:
        phase: ``idle`` between steps, ``counting`` in the forward pass for statistics, else ``training``.
        num_tokens: real tokens of the global batch.
        num_loss_tokens: its tokens with a loss, the number by which the gradients will be divided.
        counts: assignments per expert whose fractions weigh the loss [L, E]; ``None`` while unknown.
        domain_ids: of the current micro-batch [B, S], not split for sequence parallelism.
    """

    moe: MoeConfig
    tally: Tally
    phase: Literal["idle", "counting", "training"] = "idle"
    num_tokens: int = 0
    num_loss_tokens: int = 0
    counts: Tensor | None = None
    domain_ids: Tensor | None = None

    @property
    def load_balancing(self) -> LoadBalancing:
        return LOAD_BALANCING[self.moe.load_balancing]


@dataclass(frozen=True)
class LoadBalancing:
    """A loss that evens out the experts' loads.

    Attributes:
        loads: what the loss must know of a micro-batch's surroundings, from the step, the layer (from 0), the
            group of the ranks that hold the layer's other tokens, the choice [T, E] and the mask of real
            tokens [T]. Called once for a micro-batch, in its forward pass, and may communicate.
        share: this rank's share of the loss, a scalar, from the step, the router's probabilities over all
            experts [T, E], those loads, and the mask. Must not communicate.
    """

    loads: Callable[[Step, int, dist.ProcessGroup, Tensor, Tensor], Tensor | None]
    share: Callable[[Step, Tensor, Tensor, Tensor], Tensor]


def _no_loads(step: Step, layer: int, group: dist.ProcessGroup, selected: Tensor, token_mask: Tensor) -> None:
    """Without loads there is no loss."""


def _global_fractions(
    step: Step, layer: int, group: dist.ProcessGroup, selected: Tensor, token_mask: Tensor
) -> Tensor:
    """f [E] of the global batch, as far as ``statistics`` knows it."""
    if step.counts is None:
        raise RuntimeError("the loads are unknown; run a forward pass inside RouterStatistics.counting()")
    if step.moe.statistics == "running":
        counts = count_selections(selected, token_mask)
        dist.all_reduce(counts, group=group)
        step.counts[layer] += counts
    return selection_fractions(step.counts[layer])


def _global_share(step: Step, scores: Tensor, fractions: Tensor, token_mask: Tensor) -> Tensor:
    return load_balancing_loss(scores, fractions, step.num_tokens, token_mask)


LOAD_BALANCING = {
    "global": LoadBalancing(_global_fractions, _global_share),
    "none": LoadBalancing(_no_loads, _global_share),
}
