"""What the router optimises besides the cross-entropy, and how it counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from recipes.command import InputError


@dataclass(frozen=True)
class MoeConfig:
    """One entry of ``recipes/moe``; the mathematics is in ``docs/router.md``.

    Attributes:
        load_balancing: the loss on the router's probabilities, over the ``global`` batch, each ``micro_batch``
            or each ``sequence``; ``variance`` instead rewards unlike scores; ``none`` has no such loss.
        aux_loss_coeff: α of Eq. 14, the weight of that loss in each layer.
        z_loss_coeff: ζ of Eq. 14, the weight of the z-loss of each layer.
        statistics: where ``global`` and ``variance`` have the statistics from that they need before their batch
            is routed: ``previous_step`` (the last global batch), ``exact`` (a forward pass over this one),
            ``running`` (this one so far).
        capacity_factor: tokens an expert takes, as a multiple of its even share; ``None`` drops no token.
    """

    load_balancing: Literal["global", "micro_batch", "sequence", "variance", "none"]
    aux_loss_coeff: float
    z_loss_coeff: float
    statistics: Literal["previous_step", "running", "exact"]
    capacity_factor: float | None

    def __post_init__(self) -> None:
        for key in ("aux_loss_coeff", "z_loss_coeff"):
            value = getattr(self, key)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"moe.{key}={value}: must not be negative; try moe.{key}=0")
        if self.capacity_factor is not None and not (
            math.isfinite(self.capacity_factor) and self.capacity_factor > 0
        ):
            raise InputError(
                f"moe.capacity_factor={self.capacity_factor}: must be positive; try moe.capacity_factor=1.25,"
                " or null to drop no token"
            )
