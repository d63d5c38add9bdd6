"""NovelSum of a set (the NovelSum repository, MIT): how far its points are from each other, near ones counted most."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from data_synth.selection.density import BLOCK_BYTES
from data_synth.selection.scores import sort_rows


def novelsum(points: Tensor, weights: Tensor, most_rows: int | None = None, seed: int = 0) -> float:
    """The mean over points of ρ_x · Σ_r d_r/r / Σ_r 1/r; as published, a point is the first of its own neighbours.

    Args:
        points: unit vectors of the set, [n, d].
        weights: ρ of each over the pool of reference, [n].
        most_rows: the mean is taken over so many, drawn with ``seed``; None: over all.
    """
    rows = torch.arange(len(points), device=points.device)
    if most_rows is not None and most_rows < len(points):
        drawn = np.random.default_rng(seed).choice(len(points), most_rows, replace=False)
        rows = torch.from_numpy(np.sort(drawn)).to(points.device)
    shares = 1 / torch.arange(1, len(points) + 1, dtype=torch.float64, device=points.device)
    shares = (shares / shares.sum()).float()
    total, step = 0.0, max(1, BLOCK_BYTES // (4 * len(points)))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        distances = (1 - points[some] @ points.T).clamp_(min=0)
        total += float(((sort_rows(distances) @ shares).double() * weights[some]).sum())
    return total / len(rows)
