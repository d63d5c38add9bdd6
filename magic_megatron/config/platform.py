"""What a platform brings to a training recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PlatformConfig:
    """One entry of ``recipes/platform``.

    ``num_threads=None`` leaves torch's own choice; ``overlap_communication`` hides the data-parallel reduction
    of gradients and gathering of weights behind computation. ``sequence_length`` and ``micro_batch_size`` are what
    ``data`` and ``train`` take unless they are set.
    """

    name: Literal["rehearsal", "cuda"]
    dtype: Literal["fp32", "bf16"]
    num_threads: int | None
    overlap_communication: bool
    sequence_length: int
    micro_batch_size: int
