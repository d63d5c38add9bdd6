"""RMSNorm for rehearsal."""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.transformer.transformer_config import TransformerConfig


class RehearsalRMSNorm(torch.nn.RMSNorm):
    """torch's RMSNorm with the signature of Megatron-Core's norms.

    Megatron-Core's own wrapper of it refuses sequence parallelism. All that is needed there is the mark on
    the weight, by which its gradient is summed over tensor-parallel ranks (``finalize_model_grads.py``).
    """

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float = 1e-5, **unused: Any) -> None:
        super().__init__(hidden_size, eps=eps, dtype=config.params_dtype)
        self.weight.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]
