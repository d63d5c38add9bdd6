"""All layouts of a number of GPUs: those that fit, ranked, and why the others don't."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from dataclasses import dataclass

from magic_megatron.config.cluster import ClusterConfig
from magic_megatron.config.layout import ParallelConfig, check_model_fits, data_parallel_size
from magic_megatron.planner.memory import MemoryEstimate, estimate_memory
from magic_megatron.planner.step_time import StepEstimate, estimate_step
from magic_megatron.planner.workload import Placement, Recompute, Workload
from recipes.command import InputError


@dataclass(frozen=True)
class SearchSpace:
    """What is tried: every layout of these sizes, with each micro-batch size and recomputation."""

    layouts: tuple[ParallelConfig, ...]
    micro_batch_sizes: tuple[int, ...]
    recomputes: tuple[Recompute, ...]


@dataclass(frozen=True)
class Candidate:
    """A layout that the rules allow. ``step`` is ``None`` where it doesn't fit, or the cluster has no peak."""

    place: Placement
    memory: MemoryEstimate
    step: StepEstimate | None


@dataclass(frozen=True)
class SearchResult:
    """Attributes:
    fitting: the fastest first; the one that needs least memory first where no time is estimated.
    over: those that need more memory than a GPU has, the nearest miss first.
    refused: messages about the layouts that break a rule, by rule: the first line of each list is as good as any.
    """

    fitting: list[Candidate]
    over: list[Candidate]
    refused: dict[str, list[str]]


def all_layouts(
    work: Workload,
    world_size: int,
    *,
    tp: int | None,
    pp: int | None,
    cp: int | None,
    ep: int | None,
    sequence_parallel: bool | None,
) -> tuple[ParallelConfig, ...]:
    """Every way to split ``world_size`` GPUs; a size that is given is the only one tried."""
    model, etp = work.model, 1
    return tuple(
        ParallelConfig(t, p, c, e, etp, sequence_parallel)
        for t in _sizes(tp, world_size, model.num_attention_heads)
        for p in _sizes(pp, world_size // t, model.num_hidden_layers)
        for c in _sizes(cp, world_size // (t * p), work.sequence_length)
        for e in _sizes(ep, world_size // p, max(model.num_experts, 1))
    )


def _sizes(given: int | None, gpus: int, most: int) -> list[int]:
    """Divisors of a number of GPUs, up to ``most``; the rules judge a size that is given."""
    if given is not None:
        return [given]
    return [size for size in range(1, min(gpus, most) + 1) if gpus % size == 0] or [1]


def search(work: Workload, cluster: ClusterConfig, space: SearchSpace, world_size: int) -> SearchResult:
    """Estimate every layout of ``space`` on ``world_size`` GPUs of ``cluster``."""
    fitting, over = list[Candidate](), list[Candidate]()
    refused: dict[str, list[str]] = defaultdict(list)
    for parallel in space.layouts:
        try:
            dp = data_parallel_size(parallel, world_size)
            check_model_fits(parallel, work.model, work.sequence_length)
        except InputError as error:
            _refuse(refused, str(error).rsplit("; ", 1)[0])
            continue
        for size, recompute in itertools.product(space.micro_batch_sizes, space.recomputes):
            if work.global_batch_size % (size * dp):
                _refuse(
                    refused,
                    f"global_batch_size={work.global_batch_size}: must divide by micro_batch_size·dp = {size}·{dp}",
                )
                continue
            candidate = _estimate(work, cluster, Placement(parallel, world_size, dp, size, recompute))
            (fitting if candidate.memory.fits else over).append(candidate)
    fitting.sort(key=lambda found: found.step.seconds if found.step else found.memory.total)
    over.sort(key=lambda found: found.memory.total)
    return SearchResult(fitting, over, dict(refused))


def _refuse(refused: dict[str, list[str]], message: str) -> None:
    """Messages that differ in numbers alone are of one rule."""
    refused[re.sub(r"\d+", "…", message)].append(message)


def _estimate(work: Workload, cluster: ClusterConfig, place: Placement) -> Candidate:
    memory = estimate_memory(work, place, cluster.usable_bytes)
    has_time = memory.fits and cluster.peak_tflops is not None
    return Candidate(place, memory, estimate_step(work, place, cluster) if has_time else None)
