"""Process groups as Megatron-Core makes them, and the link that each talks over."""

import dataclasses

import pytest

from magic_megatron.config.cluster import ClusterConfig
from magic_megatron.config.layout import ParallelConfig, data_parallel_size
from magic_megatron.planner.links import group
from magic_megatron.planner.workload import Placement
from magic_megatron.platform import activate
from recipes.command import InputError, compose, typed

activate("rehearsal")

from megatron.core.parallel_state import RankGenerator  # noqa: E402

A800 = typed(ClusterConfig, compose("plan", ["cluster=a800"]).cluster)
ORDER = "tp-cp-ep-dp-pp"  # Megatron-Core's default, which magic_megatron.sft leaves as it is
SHARED = {"tp": "tp", "cp": "cp", "pp": "pp", "replicas": "dp-cp"}
EXPERTS = {"ep": "ep", "expert_replicas": "dp"}
LAYOUTS = [
    (ParallelConfig(4, 2, 2, 4, 1, None), 32),
    (ParallelConfig(1, 1, 4, 8, 1, None), 32),
    (ParallelConfig(2, 4, 1, 16, 1, None), 128),
    (ParallelConfig(8, 1, 2, 1, 1, None), 64),
    (ParallelConfig(1, 1, 1, 1, 1, None), 8),
    (ParallelConfig(2, 1, 3, 2, 1, None), 24),
]


def placed(parallel: ParallelConfig, world: int) -> Placement:
    return Placement(parallel, world, data_parallel_size(parallel, world), 1, "none")


@pytest.mark.parametrize(("parallel", "world"), LAYOUTS)
def test_groups_are_megatrons(parallel, world):
    place = placed(parallel, world)
    shared = RankGenerator(parallel.tp, 1, place.dp, parallel.pp, parallel.cp, ORDER)
    experts = RankGenerator(1, parallel.ep, place.expert_replicas, parallel.pp, 1, ORDER)
    kinds = [(kind, shared.get_ranks(token)) for kind, token in SHARED.items()]
    kinds += [(kind, experts.get_ranks(token)) for kind, token in EXPERTS.items()]
    for kind, ranks in kinds:
        found = group(A800, place, kind)
        assert ranks[0] == list(range(0, found.size * found.stride, found.stride))
        inside = all(members[0] // 8 == members[-1] // 8 for members in ranks)
        assert (found.link == "node") == inside
        if found.size > 1:
            assert found.members_per_node == max(
                sum(rank // 8 == node for rank in members) for members in ranks for node in range(world // 8)
            )


def test_a_ring_over_nodes_shares_its_network_cards():
    place = placed(ParallelConfig(1, 1, 1, 8, 1, None), 32)
    ring, lone = group(A800, place, "replicas"), group(A800, place, "expert_replicas")
    assert (ring.members_per_node, lone.members_per_node) == (8, 1)
    assert ring.rate == 8 * lone.rate == 8 * 12.5e9 * 0.75
    fast = dataclasses.replace(A800, inter_node_gb_per_s=100.0)
    assert group(fast, place, "replicas").rate == 200e9 * 0.75


def test_an_exchange_waits_for_the_slower_link():
    inside = group(A800, placed(ParallelConfig(1, 1, 1, 8, 1, None), 32), "ep")
    across = group(A800, placed(ParallelConfig(1, 1, 1, 16, 1, None), 32), "ep")
    assert inside.exchange_time(A800, 7e9) == pytest.approx(7e9 / (200e9 * 0.75))
    assert across.exchange_time(A800, 15e9) == pytest.approx(8e9 / (12.5e9 * 0.75))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("cluster.gpus_per_node=0", "cluster.gpus_per_node=0: must be positive"),
        ("cluster.matmul_efficiency=1.5", "cluster.matmul_efficiency=1.5: is a share of the peak"),
        (
            "cluster.reserved_gib=90",
            "cluster.reserved_gib=90.0: must lie between 0 and cluster.memory_gib=79.1",
        ),
        ("cluster.peak_tflops=-1", "cluster.peak_tflops=-1.0: must be positive"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(override, message):
    with pytest.raises(InputError) as refusal:
        typed(ClusterConfig, compose("plan", [override]).cluster)
    assert message in str(refusal.value)


@pytest.mark.parametrize("name", ["a800", "a100", "h100", "h200", "cpu"])
def test_every_cluster_has_its_name(name):
    cluster = typed(ClusterConfig, compose("plan", [f"cluster={name}"]).cluster)
    assert cluster.name == name
    assert (cluster.peak_tflops is None) == (cluster.memory_gib is None) == (name == "cpu")
