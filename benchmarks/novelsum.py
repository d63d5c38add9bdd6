"""Seconds to select 2,000 of 20,000 points (384 dimensions) by NovelSum, against the published algorithm's.

The baseline is `novelselect.py` of the NovelSum repository (no package has it), re-implemented faithfully: at each step
and in batches of 10,000, the distances of all points to all selected ones, weighted by both densities, sorted, weighted
by 1/rank through a scatter, and their mean. Two things differ: it runs on a CPU in float32 rather than on a GPU in
half precision, and its densities, which both need, come from one exact search instead of faiss. Its cost per step grows
with the selected points, so by default it is timed at some steps, each as often as not, and summed over all of them by
interpolation; `--full` runs it whole and compares the picks.

Ours is timed whole, densities included. Then the picks of a smaller pool are compared with the baseline's, and NovelSum
with that of random points. CPU time of all threads, since the baseline's steps are spread over the run.

    python benchmarks/novelsum.py [--full]
"""

from __future__ import annotations

import argparse
import json
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_synth.selection.density import Density, Mode
from data_synth.selection.novelsum import Selector

NUM_POINTS, BUDGET, WIDTH = 20_000, 2_000, 384
SMALL_POINTS, SMALL_BUDGET = 4_000, 150
TIMED_STEPS = (1, 250, 1_000, 1_999)
NUM_THREADS, TARGET_S = 2, 15.0
BATCH = 10_000


def main() -> None:
    """Measure and end with a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the baseline whole; mode=paper too")
    full = parser.parse_args().full
    torch.set_num_threads(NUM_THREADS)
    print(
        f"ours: data_synth.selection; baseline: NovelSum's novelselect.py re-implemented; torch {version('torch')}"
    )
    points = _points(NUM_POINTS)
    selector, picks, wall, cpu = _ours(points, BUDGET, "published")
    print(f"ours: {wall:.1f} s, {cpu:.1f} s of CPU time, densities included")
    if full:
        seconds, theirs = _published(selector.points, selector.densities["published"], BUDGET)
        print(f"baseline: {seconds:.1f} s of CPU time without densities; the same picks: {theirs == picks}")
    else:
        seconds = _estimate(selector.points, selector.densities["published"], picks)
        print(f"baseline: {seconds:.1f} s of CPU time without densities, from steps {TIMED_STEPS}")
    results = [_entry("novelsum/published_cpu", cpu, seconds, 1.0, "s of CPU time")]
    results.append(_entry("novelsum/published_wall", wall, TARGET_S, 1.0, "s"))
    results += [_agreement(), _diversity(selector, picks)]
    if full:
        _, _, wall, cpu = _ours(points, BUDGET, "paper")
        print(f"ours, mode=paper: {wall:.1f} s, {cpu:.1f} s of CPU time")
        results.append(_entry("novelsum/paper_cpu", cpu, seconds, 1.0, "s of CPU time"))
    print(json.dumps(results))


def _points(number: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Clusters of unequal size and spread, as embeddings of requests are."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(200, WIDTH)).astype(np.float32)
    labels = rng.choice(200, number, p=rng.dirichlet(np.full(200, 0.5)))
    noise = rng.normal(size=(number, WIDTH)) * rng.uniform(0.2, 1.2, (number, 1))
    return (centres[labels] + noise).astype(np.float32)


def _ours(points: np.ndarray[Any, Any], budget: int, mode: Mode) -> tuple[Selector, list[int], float, float]:
    """The selector, its picks, wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    selector = Selector.open(points, "cpu", NUM_THREADS)
    selector.measure(mode, 10, 0.5, int)
    picks = selector.select(budget, mode, 1.0, 0, int)
    return selector, picks, time.perf_counter() - wall, time.process_time() - cpu


def _published(points: Tensor, density: Density, budget: int) -> tuple[float, list[int]]:
    cpu, selected = time.process_time(), [0]
    while len(selected) < budget:
        scores = _published_scores(points, density.single, selected)
        scores[selected] = -torch.inf
        selected.append(int(scores.argmax()))
    return time.process_time() - cpu, selected


def _published_scores(points: Tensor, densities: Tensor, selected: list[int]) -> Tensor:
    """`bi_density_weighted_distance` and the mean over the selected, batch by batch."""
    means = []
    for start in range(0, len(points), BATCH):
        distances = 1 - points[start : start + BATCH] @ points[selected].T
        weighted = distances * (densities[start : start + BATCH, None] + densities[selected])
        order = torch.sort(weighted, dim=1).indices
        ranks = (1 / torch.arange(1, len(selected) + 1)).expand(len(weighted), -1)
        by_rank = torch.zeros_like(weighted).scatter_(1, order, ranks)
        means.append((weighted * by_rank).mean(dim=1))
    return torch.cat(means)


def _estimate(points: Tensor, density: Density, picks: list[int]) -> float:
    """CPU seconds of all steps, from some of them; between these a step's cost is taken to grow evenly."""
    torch.set_num_threads(NUM_THREADS)
    seconds = []
    for step in TIMED_STEPS:
        cpu = time.process_time()
        _published_scores(points, density.single, picks[:step])
        seconds.append(time.process_time() - cpu)
    return float(np.interp(np.arange(1, BUDGET), TIMED_STEPS, seconds).sum())


def _agreement() -> dict[str, Any]:
    """Share of the picks in which both agree, in order, on a pool where the baseline is run whole."""
    selector, picks, _, _ = _ours(_points(SMALL_POINTS), SMALL_BUDGET, "published")
    _, theirs = _published(selector.points, selector.densities["published"], SMALL_BUDGET)
    share = sum(one == other for one, other in zip(picks, theirs, strict=True)) / SMALL_BUDGET
    print(f"{SMALL_BUDGET} of {SMALL_POINTS:,}: {share:.1%} of the picks agree with the baseline's")
    return _entry("novelsum/same_picks", share, 1.0, 1.0, "share of picks", better="higher")


def _diversity(selector: Selector, picks: list[int]) -> dict[str, Any]:
    drawn = np.random.default_rng(0).choice(NUM_POINTS, BUDGET, replace=False).tolist()
    ours, random = (selector.novelsum(rows, BUDGET, 0) for rows in (picks, drawn))
    print(f"NovelSum: {ours:.4f} of the chosen, {random:.4f} of as many at random")
    return _entry("novelsum/diversity", ours, random, 1.0, "NovelSum", better="higher")


def _entry(
    name: str, ours: float, baseline: float, target: float, unit: str, better: str = "lower"
) -> dict[str, Any]:
    return {
        "name": name,
        "ratio": round(ours / baseline, 4),
        "target": target,
        "better": better,
        "ours": round(ours, 4),
        "baseline": round(baseline, 4),
        "unit": unit,
    }


if __name__ == "__main__":
    main()
