"""Which link a process group talks over, and how fast.

Ranks are placed as Megatron-Core does by default (``parallel_state.py``, order ``tp-cp-ep-dp-pp``): tensor parallel
neighbours first, then context, data, pipeline; on the expert side expert-tensor parallel, expert parallel,
expert-data, pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from magic_megatron.config.cluster import ClusterConfig

Link = Literal["node", "network"]


@dataclass(frozen=True)
class Group:
    """Ranks that communicate: ``size`` of them, ``stride`` ranks apart.

    Attributes:
        link: the slowest one between two of them.
        rate: bytes a second that one rank sends in a ring of them, all like groups of a node at work.
        hop: bytes a second from one rank to the next over the slowest link.
        members_per_node: ranks of the group on one node.
    """

    size: int
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


def group(cluster: ClusterConfig, size: int, stride: int) -> Group:
    """A process group on ``cluster``.

    A ring over several nodes leaves each node once for all its members there, so these share their network cards.
    """
    gpus = cluster.gpus_per_node
    inside = cluster.intra_node_gb_per_s * 1e9 * cluster.link_efficiency
    outside = cluster.inter_node_gb_per_s * 1e9 * cluster.link_efficiency
    if size == 1 or gpus % (size * stride) == 0:
        return Group(size, "node", inside, inside, members_per_node=size)
    members = max(1, min(size, gpus // stride))
    rate = outside if members == 1 else min(inside, outside * members)
    return Group(size, "network", rate, outside, members)
