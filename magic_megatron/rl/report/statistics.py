"""Numbers over seeds: means with confidence intervals, and the two columns of the paper's Table 5."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_CONVERGED = 5  # the last fifth of the evaluations is what a run converged to
# 97.5 % quantile of Student's t for 1 … 30 degrees of freedom
_QUANTILES = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)


@dataclass(frozen=True)
class Interval:
    """A mean over ``num`` seeds; ``half_width`` of its 95 % confidence interval, None for a seed alone."""

    mean: float
    half_width: float | None
    num: int


def t_quantile(num_seeds: int) -> float:
    """Half the width of a 95 % interval in standard errors of the mean of ``num_seeds`` values, 2 or more."""
    degrees = num_seeds - 1
    if degrees <= len(_QUANTILES):
        return _QUANTILES[degrees - 1]
    z = 1.959964
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def half_widths(values: np.ndarray) -> np.ndarray | None:
    """Of the mean over seeds: [seeds, n] to [n]; None for a seed alone."""
    if len(values) < 2:
        return None
    widths: np.ndarray = t_quantile(len(values)) * values.std(axis=0, ddof=1) / math.sqrt(len(values))
    return widths


def interval(values: Sequence[float]) -> Interval:
    """Of one value a seed, one or more."""
    widths = half_widths(np.array(values, dtype=float)[:, None])
    return Interval(float(np.mean(values)), None if widths is None else float(widths[0]), len(values))


def best(evaluations: np.ndarray) -> float:
    """The maximum over the evaluations [n] of a run."""
    return float(evaluations.max())


def converged(evaluations: np.ndarray) -> float:
    """The mean over the last fifth of the evaluations [n] of a run, one at least."""
    return float(evaluations[-math.ceil(len(evaluations) / _CONVERGED) :].mean())
