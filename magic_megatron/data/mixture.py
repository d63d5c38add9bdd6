"""How often an epoch sees the rows of each task: ``data.mixture``."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recipes.command import InputError

IntArray = NDArray[np.int64]
_ROUNDING = 1e-6  # what e·w·n may be off in floating point


class Mixture:
    """The rows of each epoch. A domain of weight w has each of its rows w times in an epoch.

    The rows of a domain are passed over again and again, each time in another order, and an epoch takes the next
    w passes: of n rows, places ⌈e·w·n⌉ to ⌈(e + 1)·w·n⌉ of that endless sequence. So w = 0.5 is one
    half of the rows in an epoch and the other half in the next, w = 2 is all of them twice, and at any moment
    no row of a domain has been seen more than once more often than another.

    Args:
        rows: row numbers of each domain.
        weights: of each domain, not negative.
        seed: decides the order of each pass.
    """

    def __init__(self, rows: Sequence[IntArray], weights: Sequence[float], seed: int) -> None:
        self._domains = list(zip(rows, weights, strict=True))
        self._seed = seed

    @property
    def is_constant(self) -> bool:
        """Whether every epoch has the same rows."""
        return all(float(weight).is_integer() for rows, weight in self._domains if len(rows))

    @property
    def num_rows(self) -> float:
        """Rows of an epoch, in the mean."""
        return sum(len(rows) * weight for rows, weight in self._domains)

    def epoch(self, number: int) -> IntArray:
        """Rows of pass ``number`` over the data, from 0, in no order that matters; each as often as it is due."""
        drawn = [self._places(domain, number) for domain in range(len(self._domains))]
        return np.concatenate([np.empty(0, dtype=np.int64), *drawn])

    def _places(self, domain: int, epoch: int) -> IntArray:
        rows, weight = self._domains[domain]
        first, last = (math.ceil(e * weight * len(rows) - _ROUNDING) for e in (epoch, epoch + 1))
        parts, place = [np.empty(0, dtype=np.int64)], first
        while place < last:
            number, skipped = divmod(place, len(rows))
            taken = min(len(rows) - skipped, last - place)
            order = rows if taken == len(rows) else self._order(domain, number)
            parts.append(order[skipped : skipped + taken])
            place += taken
        return np.concatenate(parts)

    def _order(self, domain: int, number: int) -> IntArray:
        """The order of pass ``number`` over a domain."""
        return np.random.default_rng([self._seed, domain, number]).permutation(self._domains[domain][0])


def domain_weights(mixture: Mapping[str, float] | None, domains: Sequence[str]) -> list[float]:
    """The weight of each of the ``domains`` (``task/subtask``), 1 where ``mixture`` is silent.

    A key of ``data.mixture`` is a domain, or a task for those of its domains that have no key of their own.

    Raises:
        InputError: no such task or domain, or a weight that is none.
    """
    given = dict(mixture or {})
    tasks = {domain.split("/")[0] for domain in domains}
    for name, weight in given.items():
        key = f"data.mixture.{name}={weight:g}"
        if name not in tasks and name not in domains:
            known = sorted({*tasks, *domains})
            near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known)}"
            raise InputError(f"{key}: data.path has no such task or domain; {hint}")
        if not (math.isfinite(weight) and weight >= 0):
            raise InputError(
                f"{key}: must not be negative; 0 leaves the rows out, 2 shows each twice an epoch"
            )
    return [given.get(domain, given.get(domain.split("/")[0], 1.0)) for domain in domains]
