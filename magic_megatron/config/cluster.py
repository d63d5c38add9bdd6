"""The machines that a run is planned for: memory, arithmetic and links of one GPU, and what of them is reached."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from recipes.command import InputError


@dataclass(frozen=True)
class ClusterConfig:
    """One entry of ``recipes/cluster``. All nodes are alike; ``GB/s`` are 1e9 bytes a second, ``GiB`` 2**30 bytes.

    Attributes:
        gpus_per_node: processes of a node, each with a GPU of its own.
        memory_gib: of a GPU, as torch reports it; ``None`` where memory isn't judged.
        reserved_gib: of it, what tensors don't get: CUDA's context, NCCL's buffers, workspaces of kernels, holes
            between tensors.
        peak_tflops: bf16 with dense operands, 1e12 FLOP/s; ``None`` where no time and no MFU is estimated.
        memory_gb_per_s: between a GPU and its own memory.
        intra_node_gb_per_s: from one GPU to the others of its node, in one direction.
        inter_node_gb_per_s: from one GPU to other nodes, in one direction: the node's network divided by its GPUs.
        matmul_efficiency: share of ``peak_tflops`` that large matrix products reach.
        expert_efficiency: the same for the grouped products of experts, which are narrow.
        attention_efficiency: the same for flash attention, forward and backward together.
        memory_efficiency: share of ``memory_gb_per_s`` that element-wise kernels reach.
        link_efficiency: share of the links' rates that NCCL reaches with large messages.
    """

    name: str
    gpus_per_node: int
    memory_gib: float | None
    reserved_gib: float
    peak_tflops: float | None
    memory_gb_per_s: float
    intra_node_gb_per_s: float
    inter_node_gb_per_s: float
    matmul_efficiency: float
    expert_efficiency: float
    attention_efficiency: float
    memory_efficiency: float
    link_efficiency: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("name", "reserved_gib") or value is None:
                continue
            if not (math.isfinite(value) and value > 0):
                raise InputError(
                    f"cluster.{field.name}={value}: must be positive; choose cluster=a800 or another entry of"
                    " recipes/cluster, and change single keys of it"
                )
            if field.name.endswith("_efficiency") and value > 1:
                raise InputError(f"cluster.{field.name}={value}: is a share of the peak; give at most 1")
        if self.reserved_gib < 0 or (self.memory_gib is not None and self.reserved_gib >= self.memory_gib):
            raise InputError(
                f"cluster.reserved_gib={self.reserved_gib}: must lie between 0 and cluster.memory_gib="
                f"{self.memory_gib}; try cluster.reserved_gib=4"
            )

    @property
    def usable_bytes(self) -> float:
        """Memory of a GPU that tensors may fill; infinite where memory isn't judged."""
        if self.memory_gib is None:
            return math.inf
        return (self.memory_gib - self.reserved_gib) * 2**30
