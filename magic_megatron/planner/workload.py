"""What is planned: a training step, and how it is laid out over GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from magic_megatron.config.layout import ParallelConfig
from magic_megatron.config.model import ModelConfig
from magic_megatron.planner.parameters import expert_replicas

Recompute = Literal["none", "full"]


@dataclass(frozen=True)
class Workload:
    """One training step.

    Attributes:
        vocab_size: rows of the embedding.
        dtype: of weights and activations.
        sequence_length: tokens of a pack.
        row_length: tokens of a typical row in it; attention costs its square.
        global_batch_size: packs of a step.
    """

    model: ModelConfig
    vocab_size: int
    dtype: Literal["fp32", "bf16"]
    sequence_length: int
    row_length: int
    global_batch_size: int

    @property
    def itemsize(self) -> int:
        """Bytes of a weight or an activation."""
        return 4 if self.dtype == "fp32" else 2


@dataclass(frozen=True)
class Placement:
    """A layout on ``world_size`` GPUs with ``dp`` replicas, and what a GPU does at a time.

    Attributes:
        micro_batch_size: packs of a micro-batch, laid end to end.
        recompute: which activations backward computes again.
    """

    parallel: ParallelConfig
    world_size: int
    dp: int
    micro_batch_size: int
    recompute: Recompute

    @property
    def shared_replicas(self) -> int:
        """Ranks that hold the same weights, and share out their optimizer state: data and context parallel."""
        return self.dp * self.parallel.cp

    @property
    def expert_replicas(self) -> int:
        """Ranks that hold the same experts."""
        return expert_replicas(self.parallel, self.dp)

    def num_microbatches(self, work: Workload) -> int:
        """Of one replica in a step."""
        return work.global_batch_size // (self.micro_batch_size * self.dp)

    def tokens(self, work: Workload) -> int:
        """Of a micro-batch on one context-parallel rank: what attention and a dense MLP see."""
        return self.micro_batch_size * work.sequence_length // self.parallel.cp

    def own_tokens(self, work: Workload) -> int:
        """Those that a rank keeps between attention and MLP: sequence parallelism splits them over tp."""
        return self.tokens(work) // (self.parallel.tp if self.parallel.uses_sequence_parallel else 1)
