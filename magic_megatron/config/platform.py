"""What a platform brings to a training recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PlatformConfig:
    """One entry of ``recipes/platform``. ``num_threads=None`` leaves torch's own choice."""

    name: Literal["rehearsal", "cuda"]
    backend: Literal["gloo", "nccl"]
    dtype: Literal["fp32", "bf16"]
    num_threads: int | None
    sequence_length: int
