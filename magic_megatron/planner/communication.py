"""Bytes that a rank sends in a step, and the seconds that computation waits for them."""

from __future__ import annotations

from dataclasses import dataclass

from magic_megatron.config.cluster import ClusterConfig
from magic_megatron.planner.links import Link, group
from magic_megatron.planner.parameters import stage_parameters
from magic_megatron.planner.workload import Placement, Workload

_FP32 = 4


@dataclass(frozen=True)
class Exchange:
    """One layer's communication for one micro-batch, and one rank's.

    Attributes:
        sent_forward, sent_backward: bytes a rank sends.
        forward, backward: seconds, of which ``hides`` says whether attention can go on meanwhile.
    """

    kind: str
    link: Link
    sent_forward: float
    sent_backward: float
    forward: float
    backward: float
    hides: bool


@dataclass(frozen=True)
class Traffic:
    """What one rank sends in a step.

    Attributes:
        kind: of parallelism.
        operation: the collectives that it is made of.
        sent: bytes.
        seconds: that they take, hidden or not.
    """

    kind: str
    operation: str
    link: Link
    sent: float
    seconds: float


def tensor_exchange(work: Workload, place: Placement, cluster: ClusterConfig) -> Exchange:
    """With sequence parallelism an all-gather into and a reduce-scatter out of attention and of a dense MLP.

    Backward mirrors both, and gathers the input again for the weights' gradient, behind a matrix product. Without it
    an all-reduce each, of twice the volume. Experts (etp=1) take the split sequence as it is.
    """
    tp = place.parallel.tp
    ring = group(cluster, place, "tp")
    blocks = 1 if work.model.is_moe else 2
    unit = work.itemsize * work.model.hidden_size * place.tokens(work) * (tp - 1) / tp
    waited = 2 * blocks * unit
    again = blocks * unit if place.parallel.uses_sequence_parallel else 0.0
    seconds = waited / ring.rate
    return Exchange("tp", ring.link, waited, waited + again, seconds, seconds, hides=False)


def context_exchange(work: Workload, place: Placement, cluster: ClusterConfig) -> Exchange:
    """Keys and values go round the ring; in backward they do again, and their gradients with them."""
    parallel, model = place.parallel, work.model
    ring = group(cluster, place, "cp")
    keys = 2 * model.num_key_value_heads * model.head_dim / parallel.tp
    sent = work.itemsize * keys * place.tokens(work) * (parallel.cp - 1)
    return Exchange("cp", ring.link, sent, 2 * sent, sent / ring.hop, 2 * sent / ring.hop, hides=True)


def expert_exchange(work: Workload, place: Placement, cluster: ClusterConfig) -> Exchange:
    """Every token to its k experts and back, all-to-all; loads are taken to be even."""
    ep = place.parallel.ep
    ring = group(cluster, place, "ep")
    slots = work.model.num_experts_per_tok * place.own_tokens(work)
    sent = 2 * work.itemsize * work.model.hidden_size * slots * (ep - 1) / ep
    seconds = ring.exchange_time(cluster, sent)
    return Exchange("ep", ring.link, sent, sent, seconds, seconds, hides=False)


def stage_exchange(work: Workload, place: Placement, cluster: ClusterConfig) -> Exchange:
    """The residual stream to the next stage, its gradient back; once a micro-batch, not once a layer."""
    pp = place.parallel.pp
    hop = group(cluster, place, "pp")
    sent = work.itemsize * work.model.hidden_size * place.own_tokens(work) if pp > 1 else 0.0
    return Exchange("pp", hop.link, sent, sent, sent / hop.hop, sent / hop.hop, hides=False)


def replica_traffic(work: Workload, place: Placement, cluster: ClusterConfig) -> tuple[Traffic, Traffic]:
    """Gradients to their shard's rank in fp32 after the last backward pass, weights back after the update."""
    parallel = place.parallel
    held = max(
        (stage_parameters(work.model, work.vocab_size, parallel, place.dp, s) for s in (0, parallel.pp - 1)),
        key=lambda part: part.shared_buffer,
    )
    shared = group(cluster, place, "replicas")
    experts = group(cluster, place, "expert_replicas")
    sent = (
        held.shared_buffer * (shared.size - 1) / shared.size,
        held.experts_buffer * (experts.size - 1) / experts.size,
    )
    seconds = sent[0] / shared.rate + sent[1] / experts.rate
    link: Link = "network" if "network" in (shared.link, experts.link) else "node"
    reduced = Traffic("dp", "reduce-scatter of gradients", link, _FP32 * sum(sent), _FP32 * seconds)
    b = work.itemsize
    return reduced, Traffic("dp", "all-gather of weights", link, b * sum(sent), b * seconds)
