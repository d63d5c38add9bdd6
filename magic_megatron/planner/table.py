"""A plan as text for a terminal, and as JSON for programs."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Any

from magic_megatron.config.cluster import ClusterConfig
from magic_megatron.planner.memory import MemoryEstimate, stage_memory
from magic_megatron.planner.parameters import count_parameters
from magic_megatron.planner.search import Candidate, SearchResult
from magic_megatron.planner.step_time import StepEstimate
from magic_megatron.planner.workload import Placement, Workload

_TERMS = ("weights", "gradients", "optimizer", "activations", "workspace", "logits")
_MIB, _GIB = 2**20, 2**30


def headline(work: Workload, cluster: ClusterConfig, nodes: int) -> str:
    """What is planned, in two lines."""
    count = count_parameters(work.model, work.vocab_size)
    active = f", {_number(count.active)} active" if work.model.is_moe else ""
    memory = (
        "memory not judged" if cluster.memory_gib is None else f"{cluster.usable_bytes / _GIB:.1f} GiB usable"
    )
    return (
        f"{work.model.name}: {_number(count.total)} parameters{active}, {work.dtype}"
        f" on {nodes} × {cluster.gpus_per_node} {cluster.name} ({memory})\n"
        f"a step of {work.global_batch_size} packs of {work.sequence_length:,} tokens, rows of {work.row_length:,}"
    )


def ranking(found: list[Candidate], top: int) -> str:
    """The first ``top`` layouts, with the memory of the fullest rank."""
    unit = _unit([candidate.memory for candidate in found[:top]])
    header = ["#", "tp", "pp", "cp", "ep", "dp", "mbs", "recompute", *_memory_header(unit)]
    has_time = bool(found) and found[0].step is not None
    header += ["bubble", "wait s", "step s", "tok/s/GPU", "MFU"] if has_time else []
    rows = []
    for number, candidate in enumerate(found[:top], start=1):
        row = [str(number), *_layout_cells(candidate.place), *_memory_cells(candidate.memory, unit)]
        rows.append(row + (_step_cells(candidate.step) if candidate.step else []))
    return _aligned(header, rows)


def misses(result: SearchResult) -> str:
    """Why the others don't fit, by the largest term of their memory or the rule they break, with one of each."""
    lines = []
    by_term: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in result.over:
        by_term[candidate.memory.largest].append(candidate)
    for term, group in sorted(by_term.items(), key=lambda item: -len(item[1])):
        near, most = group[0], _over(group[-1])
        lines.append(
            f"{len(group)} × too much memory, {term} the largest part: {_over(near)} GiB too much at"
            f" {_name(near.place)}, with {getattr(near.memory, term) / _GIB:.1f} GiB of {term}"
            + (f"; up to {most} GiB too much" if len(group) > 1 else "")
        )
    for messages in sorted(result.refused.values(), key=len, reverse=True):
        lines.append(f"{len(messages)} × {messages[0]}")
    return "\n".join(f"- {line}" for line in lines)


def explanation(work: Workload, candidate: Candidate) -> str:
    """One layout in detail: memory of each stage that differs, what a rank sends, and the time of a step."""
    place, step = candidate.place, candidate.step
    usable = candidate.memory.usable
    stages = [stage_memory(work, place, usable, stage) for stage in sorted({0, place.parallel.pp - 1})]
    unit = _unit(stages)
    memory = _aligned(
        ["stage", *_memory_header(unit)],
        [[str(stage.stage), *_memory_cells(stage, unit)] for stage in stages],
    )
    verdict = (
        "fits"
        if candidate.memory.fits
        else f"doesn't fit: {_over(candidate)} GiB too much, {candidate.memory.largest} most"
    )
    parts = [
        f"{_name(place)}: dp={place.dp}, {place.num_microbatches(work)} micro-batches a step; {verdict}",
        memory,
    ]
    if step is not None:
        sent = [
            [t.kind, t.operation, t.link, f"{t.sent / 1e9:.2f}", f"{t.seconds:.2f}"] for t in step.traffic
        ]
        parts.append(_aligned(["sent", "", "link", "GB a step", "s"], sent, left=3))
        parts.append(
            f"step {step.seconds:.2f} s, of which {step.waiting:.2f} s wait for links and {step.update:.2f} s update;"
            f" bubble {step.bubble:.0%}, {step.tokens_per_s:,.0f} tokens/s a GPU, MFU {step.mfu:.1%}"
        )
    return "\n\n".join(parts)


def training_keys(work: Workload, place: Placement) -> str:
    """The keys that make ``magic_megatron.sft`` train this way; rows are padded for cp up to 4 unless told."""
    parallel = place.parallel
    keys = [f"parallel.{key}={getattr(parallel, key)}" for key in ("tp", "pp", "cp", "ep")]
    keys += [
        f"data.sequence_length={work.sequence_length}",
        f"train.micro_batch_size={place.micro_batch_size}",
        f"train.global_batch_size={work.global_batch_size}",
        f"train.recompute={place.recompute}",
    ]
    if parallel.cp > 4:
        keys.append(f"data.pad_multiple={2 * parallel.cp}")
    return f"model={work.model.name} " + " ".join(keys)


def as_json(work: Workload, cluster: ClusterConfig, world_size: int, result: SearchResult) -> dict[str, Any]:
    """Everything, bytes and seconds, for programs."""
    return {
        "workload": dataclasses.asdict(work),
        "cluster": dataclasses.asdict(cluster),
        "world_size": world_size,
        "fitting": [_record(candidate) for candidate in result.fitting],
        "over": [_record(candidate) for candidate in result.over],
        "refused": result.refused,
    }


def _record(candidate: Candidate) -> dict[str, Any]:
    place, memory = candidate.place, candidate.memory
    return {
        "parallel": dataclasses.asdict(place.parallel),
        "dp": place.dp,
        "micro_batch_size": place.micro_batch_size,
        "recompute": place.recompute,
        "memory": {
            "stage": memory.stage,
            **{term: getattr(memory, term) for term in _TERMS},
            "total": memory.total,
        },
        "step": dataclasses.asdict(candidate.step) if candidate.step else None,
    }


def _layout_cells(place: Placement) -> list[str]:
    p = place.parallel
    return [str(n) for n in (p.tp, p.pp, p.cp, p.ep, place.dp, place.micro_batch_size)] + [place.recompute]


def _unit(memories: list[MemoryEstimate]) -> int:
    """Bytes of the unit that suits the largest of them."""
    return _GIB if max(memory.total for memory in memories) >= _GIB else _MIB


def _memory_header(unit: int) -> list[str]:
    return [*_TERMS, "total GiB" if unit == _GIB else "total MiB"]


def _memory_cells(memory: MemoryEstimate, unit: int) -> list[str]:
    return [f"{getattr(memory, term) / unit:.1f}" for term in (*_TERMS, "total")]


def _step_cells(step: StepEstimate) -> list[str]:
    return [
        f"{step.bubble:.0%}",
        f"{step.waiting:.2f}",
        f"{step.seconds:.2f}",
        f"{step.tokens_per_s:,.0f}",
        f"{step.mfu:.1%}",
    ]


def _number(count: int) -> str:
    return f"{count / 1e9:.2f} B" if count >= 10**8 else f"{count / 1e6:.2f} M"


def _name(place: Placement) -> str:
    p = place.parallel
    return f"TP{p.tp}·PP{p.pp}·CP{p.cp}·EP{p.ep}, micro-batch {place.micro_batch_size}, recompute={place.recompute}"


def _over(candidate: Candidate) -> str:
    return f"{(candidate.memory.total - candidate.memory.usable) / _GIB:.1f}"


def _aligned(header: list[str], rows: list[list[str]], left: int = 0) -> str:
    """Columns under each other, numbers to the right, the first ``left`` columns to the left."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(row: list[str]) -> str:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join(line(row) for row in (header, *rows))
