"""Whose turn it is: tasks interleaved by weight, so that every prefix holds them in proportion."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class Schedule:
    """Row number → task and the row's number within it.

    The k-th row of a task of weight w is due at (k + 1/2) / w, and rows come in the order of their due times; so the
    first n rows don't depend on how many follow, and of T tasks each is at most (T + 1) / 2 rows from its share of n.

    Args:
        weights: by task; those of weight 0 have no rows.
        num_rows: in total.
    """

    def __init__(self, weights: Mapping[str, float], num_rows: int) -> None:
        self.tasks = [task for task, weight in weights.items() if weight > 0]
        shares = np.array([weights[task] for task in self.tasks], dtype=np.float64)
        shares /= shares.sum()
        counts = np.ceil(shares * num_rows).astype(np.int64) + len(shares)
        due = np.concatenate([(np.arange(n) + 0.5) / share for n, share in zip(counts, shares, strict=True)])
        owner = np.repeat(np.arange(len(shares)), counts)
        order = np.lexsort((owner, due))[:num_rows]
        self._owner = owner[order].astype(np.int16)
        self._turn = np.concatenate([np.arange(n) for n in counts])[order]

    def __getitem__(self, index: int) -> tuple[str, int]:
        return self.tasks[self._owner[index]], int(self._turn[index])
