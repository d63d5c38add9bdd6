"""Which link a process group talks over, and how fast.

Ranks are placed as Megatron-Core does by default (``parallel_state.py``, order ``tp-cp-ep-dp-pp``): tensor parallel
neighbours first, then context, data, pipeline; on the expert side expert-tensor parallel, expert parallel,
expert-data, pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from magic_megatron.config.cluster import ClusterConfig
from magic_megatron.planner.workload import Placement

Link = Literal["node", "network"]
Kind = Literal["tp", "cp", "pp", "ep", "replicas", "expert_replicas"]


@dataclass(frozen=True)
class Group:
    """Ranks that communicate.

    Attributes:
        size: how many.
        stride: distance from one to the next; the first group of a kind is ``range(0, size * stride, stride)``.
        link: the slowest one between two of them.
        rate: bytes a second that one rank sends in a ring of them, all like groups of a node at work.
        hop: bytes a second from one rank to the next over the slowest link.
        members_per_node: ranks of the group on one node.
    """

    size: int
    stride: int
    link: Link
    rate: float
    hop: float
    members_per_node: int

    def exchange_time(self, cluster: ClusterConfig, sent: float) -> float:
        """Seconds of an all-to-all in which each rank sends ``sent`` bytes, an equal part to each other rank."""
        others = max(self.size - 1, 1)
        inside = sent * (self.members_per_node - 1) / others
        outside = sent - inside
        rates = (cluster.intra_node_gb_per_s, cluster.inter_node_gb_per_s)
        return max(
            part / (rate * 1e9 * cluster.link_efficiency)
            for part, rate in zip((inside, outside), rates, strict=True)
        )


def group(cluster: ClusterConfig, place: Placement, kind: Kind) -> Group:
    """A process group of ``place`` on ``cluster``.

    A ring over several nodes leaves each node once for all its members there, so these share their network cards.

    Args:
        kind: of parallelism; ``replicas`` are the ranks with the same weights (data and context parallel),
            ``expert_replicas`` those with the same experts.
    """
    size, stride = _size_and_stride(place)[kind]
    gpus = cluster.gpus_per_node
    inside = cluster.intra_node_gb_per_s * 1e9 * cluster.link_efficiency
    outside = cluster.inter_node_gb_per_s * 1e9 * cluster.link_efficiency
    if size == 1 or gpus % (size * stride) == 0:
        return Group(size, stride, "node", inside, inside, members_per_node=size)
    members = max(1, min(size, gpus // stride))
    rate = outside if members == 1 else min(inside, outside * members)
    return Group(size, stride, "network", rate, outside, members)


def _size_and_stride(place: Placement) -> dict[Kind, tuple[int, int]]:
    parallel = place.parallel
    return {
        "tp": (parallel.tp, 1),
        "cp": (parallel.cp, parallel.tp),
        "replicas": (place.shared_replicas, parallel.tp),
        "pp": (parallel.pp, place.world_size // parallel.pp),
        "ep": (parallel.ep, parallel.etp),
        "expert_replicas": (place.expert_replicas, parallel.etp * parallel.ep),
    }
