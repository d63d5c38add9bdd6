"""Memory: activations against a list of tensors, the pipeline's micro-batches in flight against a simulation."""

import dataclasses
import math

import pytest

from magic_megatron.config.cluster import ClusterConfig
from magic_megatron.config.layout import ParallelConfig
from magic_megatron.config.model import ModelConfig
from magic_megatron.planner import activations
from magic_megatron.planner.memory import estimate_memory, stage_memory
from magic_megatron.planner.step_time import estimate_step
from magic_megatron.planner.workload import Placement, Workload
from recipes.command import compose, typed

GIB = 2**30
A800 = typed(ClusterConfig, compose("plan", ["cluster=a800"]).cluster)
MOE, DENSE = (
    typed(ModelConfig, compose("plan", [f"model={name}"]).model) for name in ("qwen3_30b_a3b", "qwen3_32b")
)
PAPER = ParallelConfig(4, 2, 2, 4, 1, None)
PAPER_DENSE = dataclasses.replace(PAPER, ep=1)


def work(model: ModelConfig, packs: int = 8) -> Workload:
    assert model.vocab_size is not None
    return Workload(model, model.vocab_size, "bf16", 22528, 22528, packs)


def paper(parallel: ParallelConfig = PAPER, micro_batch_size: int = 4, recompute="none") -> Placement:
    return Placement(parallel, 32, 2, micro_batch_size, recompute)


def bytes_of(*tensors: tuple[int, ...]) -> int:
    """Each is its shape and, last, the bytes of an element."""
    return sum(math.prod(tensor) for tensor in tensors)


def kept_by_attention(s: int, t: int, hidden: int, heads: int, groups: int) -> list[tuple[int, ...]]:
    """On one of tp=4 ranks: s tokens of the pack, t of them its own; 128 channels a head."""
    h, g = heads // 4, groups // 4
    return [
        (t, hidden, 2),  # residual stream
        (t, hidden, 2),  # its norm
        (s, h + 2 * g, 128, 2),  # fused projection
        (s, h, 128, 2),  # queries, normed and rotated
        (s, g, 128, 2),  # keys
        (s, h, 128, 2),  # attention's output
        (s, h, 4),  # log-sum-exp
    ]


def test_an_expert_layer_keeps_these_tensors():
    s, t, slots = 45056, 11264, 8 * 11264  # 4 packs of 22,528 over cp=2, then over tp=4; 8 experts a token
    tensors = [
        *kept_by_attention(s, t, hidden=2048, heads=32, groups=4),
        *[(t, 2048, 2)] * 2,  # residual stream and its norm
        *[(t, 128, 4)] * 3,  # logits, probabilities, scattered weights
        (t, 128, 1),  # map
        (slots, 2048, 2),  # tokens, sorted by expert
        (slots, 2 * 768, 2),  # gate and up
        (slots, 768, 2),  # their product
    ]
    assert activations.kept_by_layer(work(MOE), paper()) == bytes_of(*tensors)
    assert activations.layer_input(work(MOE), paper()) == bytes_of((t, 2048, 2))
    assert activations.logits(work(MOE), paper()) == bytes_of((s, 151936 // 4, 2), (s, 151936 // 4, 4))


def test_a_dense_layer_keeps_these_tensors():
    s, t = 45056, 11264
    tensors = [
        *kept_by_attention(s, t, hidden=5120, heads=64, groups=8),
        *[(t, 5120, 2)] * 2,
        (s, 2 * 25600 // 4, 2),
        (s, 25600 // 4, 2),
    ]
    assert activations.kept_by_layer(work(DENSE), paper(PAPER_DENSE)) == bytes_of(*tensors)


def test_without_sequence_parallelism_norms_see_every_token():
    alone = dataclasses.replace(PAPER_DENSE, sequence_parallel=False)
    more = activations.kept_by_layer(work(DENSE), paper(alone))
    norms = bytes_of(*[(45056 - 11264, 5120, 2)] * 4)
    assert more - activations.kept_by_layer(work(DENSE), paper(PAPER_DENSE)) == norms


def simulate_1f1b(pp: int, microbatches: int, forward: float, backward: float) -> tuple[float, list[int]]:
    """Finish of the last pass, and the most micro-batches each stage holds, of the schedule done pass by pass."""
    orders = []
    for stage in range(pp):
        warmup = min(microbatches, pp - stage - 1)
        order = [("f", i) for i in range(warmup)]
        for i in range(microbatches - warmup):
            order += [("f", warmup + i), ("b", i)]
        orders.append(order + [("b", i) for i in range(microbatches - warmup, microbatches)])
    done: dict[tuple[str, int, int], float] = {}
    free, held, most = [0.0] * pp, [0] * pp, [0] * pp
    while any(orders):
        for stage, order in enumerate(orders):
            if not order:
                continue
            kind, i = order[0]
            needs = (kind, stage - 1, i) if kind == "f" else (kind, stage + 1, i)
            if 0 <= needs[1] < pp and needs not in done:
                continue
            order.pop(0)
            free[stage] = max(free[stage], done.get(needs, 0.0)) + (forward if kind == "f" else backward)
            done[kind, stage, i] = free[stage]
            held[stage] += 1 if kind == "f" else -1
            most[stage] = max(most[stage], held[stage])
    return max(free), most


@pytest.mark.parametrize(("pp", "microbatches"), [(1, 3), (2, 1), (2, 8), (4, 2), (4, 16), (8, 8)])
def test_the_pipeline_is_that_of_1f1b(pp, microbatches):
    place = Placement(ParallelConfig(1, pp, 1, 1, 1, None), pp, 1, 1, "full")
    step = work(MOE, packs=microbatches)
    finish, held = simulate_1f1b(pp, microbatches, forward=1.0, backward=2.0)
    assert finish == 3.0 * (microbatches + pp - 1)
    for stage in range(pp):
        kept = stage_memory(step, place, math.inf, stage).activations
        assert kept == held[stage] * (48 // pp) * activations.layer_input(step, place)


def test_the_bubble_is_that_of_1f1b():
    """(pp − 1) / (m + pp − 1) if stages took the same time; the output layer makes the last one longer."""
    step = estimate_step(work(MOE, packs=16), paper(micro_batch_size=1), A800)
    assert 0.9 / 9 < step.bubble < 1 / 9


def test_the_papers_setting():
    """Micro-batches of 4 packs: with Table 8's single one a step everything fits and little is left; with two in
    flight it doesn't, unless all is recomputed."""
    one = estimate_memory(work(MOE, packs=8), paper(), A800.usable_bytes)
    assert one.fits and 3 < (one.usable - one.total) / GIB < 4 and one.stage == 1
    two = estimate_memory(work(MOE, packs=16), paper(), A800.usable_bytes)
    assert not two.fits and two.largest == "activations" and 17 < (two.total - two.usable) / GIB < 18
    full = estimate_memory(work(MOE, packs=16), paper(recompute="full"), A800.usable_bytes)
    assert full.fits and full.total < 45 * GIB


def test_the_papers_dense_model_needs_recomputation():
    for size in (1, 2, 4):
        assert not estimate_memory(work(DENSE), paper(PAPER_DENSE, size), A800.usable_bytes).fits
        assert estimate_memory(work(DENSE), paper(PAPER_DENSE, size, "full"), A800.usable_bytes).fits


def test_recomputation_trades_time_for_memory():
    none, full = paper(), paper(recompute="full")
    assert estimate_memory(work(MOE), none, math.inf).total > estimate_memory(work(MOE), full, math.inf).total
    slower = estimate_step(work(MOE), full, A800).seconds / estimate_step(work(MOE), none, A800).seconds
    assert 1.2 < slower < 4 / 3


def test_more_shards_take_less_memory():
    totals = [
        estimate_memory(
            work(MOE), Placement(ParallelConfig(1, 1, 1, ep, 1, None), 32, 32, 1, "full"), 0
        ).model_state
        for ep in (1, 2, 4, 8, 16, 32)
    ]
    assert totals == sorted(totals, reverse=True)
