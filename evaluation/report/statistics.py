"""How sure a figure is: bootstrap intervals over samples, and paired tests of two runs on the same samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
AT_ONCE = 1 << 22
"""Weights that are drawn at once: 32 MB of them."""


@dataclass(frozen=True)
class Resampling:
    """``bootstrap`` of ``recipes/report.yaml``."""

    num_resamples: int
    seed: int


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval by the percentile bootstrap."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Test:
    """A paired comparison, second less first, over ids that both have.

    Attributes:
        num_gained, num_lost: ids that only the second, or only the first, has right; None where scores aren't 0 or 1.
    """

    num_ids: int
    first: float
    second: float
    difference: Interval
    p_value: float
    name: str
    num_gained: int | None
    num_lost: int | None


def mean_interval(scores: Mapping[str, Sequence[float]], resampling: Resampling) -> Interval:
    """Of the mean over all scores. An id's scores (trials) are drawn together or not at all."""
    sums = np.array([sum(values) for values in scores.values()])
    counts = np.array([len(values) for values in scores.values()], dtype=float)
    drawn = _resample(np.stack([sums, counts]), resampling)
    return _interval(sums.sum() / counts.sum(), drawn[0] / drawn[1])


def weighted_interval(
    groups: Mapping[str, Mapping[str, Sequence[float]]], weights: Mapping[str, float], resampling: Resampling
) -> Interval:
    """Of a weighted sum of groups' means, resampled within each group."""
    value, drawn = 0.0, np.zeros(resampling.num_resamples)
    for number, (name, weight) in enumerate(weights.items()):
        sums = np.array([sum(values) for values in groups[name].values()])
        counts = np.array([len(values) for values in groups[name].values()], dtype=float)
        own = Resampling(resampling.num_resamples, resampling.seed + 1 + number)
        totals = _resample(np.stack([sums, counts]), own)
        value += weight * float(sums.sum() / counts.sum())
        drawn += weight * totals[0] / totals[1]
    return _interval(value, drawn)


def compare(
    first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]], resampling: Resampling
) -> Test:
    """Second less first over the ids of both, at least one.

    Exact McNemar where each id has one score of 0 or 1 in both, else a paired permutation test of the mean difference.
    """
    ids = [name for name in first if name in second]
    before = np.array([np.mean(first[name]) for name in ids])
    after = np.array([np.mean(second[name]) for name in ids])
    changes = after - before
    drawn = _resample(np.stack([changes]), resampling)[0] / len(ids)
    difference = _interval(float(changes.mean()), drawn)
    is_binary = all(
        len(side[name]) == 1 and side[name][0] in (0, 1) for side in (first, second) for name in ids
    )
    gained, lost = int((changes > 0).sum()), int((changes < 0).sum())
    if is_binary:
        p_value, name = mcnemar(gained, lost), "exact McNemar"
    else:
        p_value, name = sign_flips(changes, resampling), "paired permutation"
    return Test(
        num_ids=len(ids),
        first=float(before.mean()),
        second=float(after.mean()),
        difference=difference,
        p_value=p_value,
        name=name,
        num_gained=gained if is_binary else None,
        num_lost=lost if is_binary else None,
    )


def mcnemar(num_gained: int, num_lost: int) -> float:
    """Two-sided exact p-value: of discordant pairs, each falls to either side with probability 1/2."""
    total = num_gained + num_lost
    tail = ways = 1
    for k in range(min(num_gained, num_lost)):
        ways = ways * (total - k) // (k + 1)  # of choosing k + 1
        tail += ways
    return min(1.0, 2 * tail / 2**total)


def sign_flips(changes: np.ndarray, resampling: Resampling) -> float:
    """Two-sided p-value: the share of sign patterns of ``changes`` [n] whose sum is as far from 0.

    Without an effect a change might as well be the other way round. All patterns are counted where they are no more
    than ``num_resamples``, so five changes never have a p-value below 1/16; else as many are drawn, and the observed
    one is among them.
    """
    changes = changes[changes != 0]
    num = len(changes)
    least = abs(changes.sum()) - 1e-9 * np.abs(changes).sum()
    if 2**num <= resampling.num_resamples:
        patterns = np.arange(2**num)[:, None] >> np.arange(num) & 1
        return float(np.mean(np.abs((2 * patterns - 1) @ changes) >= least))
    chance = np.random.default_rng(resampling.seed)
    step = max(1, AT_ONCE // num)
    extreme = 0
    for start in range(0, resampling.num_resamples, step):
        signs = chance.integers(0, 2, (min(step, resampling.num_resamples - start), num), dtype=np.int8)
        extreme += int((np.abs((2 * signs - 1) @ changes) >= least).sum())
    return (extreme + 1) / (resampling.num_resamples + 1)


def pass_hat(num_right: int, num_trials: int, k: int) -> float:
    """The chance that k of the trials, drawn without replacement, are all right: C(c,k)/C(n,k)."""
    return math.comb(num_right, k) / math.comb(num_trials, k)


def _resample(totals: np.ndarray, resampling: Resampling) -> np.ndarray:
    """Sums over as many draws with replacement as there are columns: [rows, n] to [rows, num_resamples]."""
    chance = np.random.default_rng(resampling.seed)
    num = totals.shape[1]
    step = max(1, AT_ONCE // num)
    parts = [
        totals @ chance.multinomial(num, np.full(num, 1 / num), min(step, resampling.num_resamples - start)).T
        for start in range(0, resampling.num_resamples, step)
    ]
    return np.concatenate(parts, axis=1)


def _interval(value: float, drawn: np.ndarray) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(low), float(high))
