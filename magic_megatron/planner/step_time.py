"""Estimated time of a step: kernels at a share of the GPU's rates, waits for links, and the pipeline's bubble.

Every share is a key of ``recipes/cluster``. ``docs/plan.md`` has the formulas and what they leave out.
"""

from __future__ import annotations

from dataclasses import dataclass

from magic_megatron.config.cluster import ClusterConfig
from magic_megatron.planner import flops
from magic_megatron.planner.activations import kept_by_layer, logits
from magic_megatron.planner.communication import (
    Exchange,
    Traffic,
    context_exchange,
    expert_exchange,
    replica_traffic,
    stage_exchange,
    tensor_exchange,
)
from magic_megatron.planner.parameters import stage_parameters
from magic_megatron.planner.workload import Placement, Workload

# Flash attention computes its scores again in backward: five products for forward's two.
_ATTENTION_BACKWARD = 2.5
# Element-wise kernels write and read once what a layer keeps; their backward passes take twice that.
_PASSES = 2
# Bytes that the update of one weight moves: main weight and both moments read and written, gradient read.
_UPDATE_BYTES = 28


@dataclass(frozen=True)
class StepEstimate:
    """Time of a step and what it is made of.

    Attributes:
        seconds: of the whole step.
        bubble: share of the pipeline's time in which the slowest stage has nothing to do.
        waiting: seconds in which computation waits for links, pipeline included.
        update: seconds of the optimizer.
        mfu: model FLOPs over the peak of all GPUs.
        tokens_per_s: of one GPU.
        traffic: what a rank of a middle stage sends.
    """

    seconds: float
    bubble: float
    waiting: float
    update: float
    mfu: float
    tokens_per_s: float
    traffic: tuple[Traffic, ...]


@dataclass(frozen=True)
class _Pass:
    """Seconds of a forward and a backward pass, and those of them spent waiting."""

    forward: float
    backward: float
    waiting: float

    def __add__(self, other: _Pass) -> _Pass:
        return _Pass(
            self.forward + other.forward, self.backward + other.backward, self.waiting + other.waiting
        )

    @property
    def total(self) -> float:
        return self.forward + self.backward


def estimate_step(work: Workload, place: Placement, cluster: ClusterConfig) -> StepEstimate:
    """Time of one step.

    Args:
        cluster: one with a peak.
    """
    assert cluster.peak_tflops is not None, "without a peak there is no time to estimate"
    pp, microbatches = place.parallel.pp, place.num_microbatches(work)
    layers = work.model.num_hidden_layers // pp
    exchanges = _exchanges(work, place, cluster)
    body = _scaled(_layer_pass(work, place, cluster, exchanges), layers) + _hop_pass(
        exchanges[-1], place.recompute
    )
    last = body + _output_pass(work, place, cluster)
    pipeline = microbatches * last.total + (pp - 1) * body.total
    reduced, gathered = replica_traffic(work, place, cluster)
    exposed = max(0.0, reduced.seconds - body.backward) + max(0.0, gathered.seconds - body.forward)
    update = _update_seconds(work, place, cluster)
    seconds = pipeline + exposed + update
    tokens = work.global_batch_size * work.sequence_length
    rows = tokens / work.row_length
    computed = rows * flops.train_flops(work.model, [work.row_length], work.vocab_size)
    sent = (*_traffic(exchanges, layers, microbatches, place.recompute), reduced, gathered)
    return StepEstimate(
        seconds=seconds,
        bubble=(pp - 1) * body.total / pipeline,
        waiting=microbatches * last.waiting + exposed,
        update=update,
        mfu=computed / (seconds * place.world_size * cluster.peak_tflops * 1e12),
        tokens_per_s=tokens / seconds / place.world_size,
        traffic=tuple(traffic for traffic in sent if traffic.sent),
    )


def _exchanges(work: Workload, place: Placement, cluster: ClusterConfig) -> list[Exchange]:
    """Those of a layer, and last the one between stages."""
    found = [tensor_exchange(work, place, cluster), context_exchange(work, place, cluster)]
    if work.model.is_moe:
        found.append(expert_exchange(work, place, cluster))
    return [*found, stage_exchange(work, place, cluster)]


def _layer_pass(work: Workload, place: Placement, cluster: ClusterConfig, exchanges: list[Exchange]) -> _Pass:
    """One layer and one micro-batch on one rank, recomputation included."""
    model, tokens, tp = work.model, place.tokens(work), place.parallel.tp
    peak = _peak(cluster)
    dense = flops.projection_flops(model) / tp * tokens
    dense += (
        flops.router_flops(model) * place.own_tokens(work)
        if model.is_moe
        else flops.dense_mlp_flops(model) / tp * tokens
    )
    products = dense / (peak * cluster.matmul_efficiency)
    if model.is_moe:
        products += flops.expert_flops(model) * place.own_tokens(work) / (peak * cluster.expert_efficiency)
    scores = flops.attention_flops(model, work.row_length) / model.num_hidden_layers / tp * tokens
    attention = scores / (peak * cluster.attention_efficiency)
    elementwise = _PASSES * _moved(work, place) / _memory_rate(cluster)
    layer = [exchange for exchange in exchanges if exchange.kind != "pp"]
    waits = [
        sum(_wait(exchange, "forward", attention) for exchange in layer),
        sum(_wait(exchange, "backward", _ATTENTION_BACKWARD * attention) for exchange in layer),
    ]
    forward = products + attention + elementwise + waits[0]
    backward = 2 * products + _ATTENTION_BACKWARD * attention + 2 * elementwise + waits[1]
    if place.recompute == "full":
        return _Pass(forward, backward + forward, 2 * waits[0] + waits[1])
    return _Pass(forward, backward, sum(waits))


def _moved(work: Workload, place: Placement) -> float:
    """Bytes that a layer writes beside its products: what it keeps; experts' tokens, sorted four times on the way."""
    moved = kept_by_layer(work, place)
    if work.model.is_moe:
        slots = work.model.num_experts_per_tok * place.own_tokens(work)
        moved += 3 * work.itemsize * work.model.hidden_size * slots
    return moved


def _wait(exchange: Exchange, direction: str, attention: float) -> float:
    seconds = exchange.forward if direction == "forward" else exchange.backward
    return max(0.0, seconds - attention) if exchange.hides else seconds


def _hop_pass(exchange: Exchange, recompute: str) -> _Pass:
    return _Pass(exchange.forward, exchange.backward, exchange.forward + exchange.backward)


def _output_pass(work: Workload, place: Placement, cluster: ClusterConfig) -> _Pass:
    """Output layer and loss, on the last stage."""
    share = place.tokens(work) / place.parallel.tp
    product = (
        flops.output_flops(work.model, work.vocab_size) * share / (_peak(cluster) * cluster.matmul_efficiency)
    )
    loss = _PASSES * logits(work, place) / _memory_rate(cluster)
    return _Pass(product + loss, 2 * product + loss, 0.0)


def _update_seconds(work: Workload, place: Placement, cluster: ClusterConfig) -> float:
    """The optimizer on this rank's shard; its gradient buffer zeroed and read for the norm."""
    held = stage_parameters(work.model, work.vocab_size, place.parallel, place.dp, stage=0)
    shard = held.shared_buffer / place.shared_replicas + held.experts_buffer / place.expert_replicas
    buffer = 4 * (held.shared_buffer + held.experts_buffer)
    return (shard * (_UPDATE_BYTES + 4 + work.itemsize) + buffer) / _memory_rate(cluster)


def _traffic(
    exchanges: list[Exchange], layers: int, microbatches: int, recompute: str
) -> tuple[Traffic, ...]:
    """Of a step, from those of a layer and of a micro-batch."""
    operations = {
        "tp": "all-gather and reduce-scatter",
        "cp": "keys and values round the ring",
        "ep": "all-to-all of tokens",
        "pp": "activations and gradients to the next stage",
    }
    found = []
    for exchange in exchanges:
        times = microbatches * (1 if exchange.kind == "pp" else layers)
        forwards = 2 if recompute == "full" and exchange.kind != "pp" else 1
        sent = times * (forwards * exchange.sent_forward + exchange.sent_backward)
        seconds = times * (forwards * exchange.forward + exchange.backward)
        found.append(Traffic(exchange.kind, operations[exchange.kind], exchange.link, sent, seconds))
    return tuple(found)


def _scaled(one: _Pass, times: int) -> _Pass:
    return _Pass(times * one.forward, times * one.backward, times * one.waiting)


def _peak(cluster: ClusterConfig) -> float:
    assert cluster.peak_tflops is not None
    return cluster.peak_tflops * 1e12


def _memory_rate(cluster: ClusterConfig) -> float:
    return cluster.memory_gb_per_s * 1e9 * cluster.memory_efficiency
