"""NovelSum's score of a candidate (Eq. 1) in its two modes, and how far it can grow.

A candidate has, for each selected point, a key by which the points are ranked and a value; its score is
Σ value / rank^α. ``paper``: key d, value σ_j^β·d. ``published`` (the NovelSum repository): both (ρ_x + ρ_j)·d.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from data_synth.selection.density import Density, Mode


@dataclass(frozen=True)
class Scorer:
    """Scores over unit vectors ``points`` [n, d]."""

    points: Tensor
    density: Density
    mode: Mode
    alpha: float
    most_ranks: int

    @cached_property
    def rank_weights(self) -> Tensor:
        """1 / rank^α for ranks 1 to ``most_ranks``; float32."""
        ranks = torch.arange(1, self.most_ranks + 1, dtype=torch.float64, device=self.points.device)
        return ranks.pow(-self.alpha).float()

    def keys_and_values(self, distances: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Of candidates ``rows`` against selected ``columns``, from their distances [rows, columns]."""
        density = self.density
        weights = density.single if distances.dtype == torch.float32 else density.weights
        if self.mode == "paper":
            return distances, distances * weights[columns]
        values = distances * (weights[rows][:, None] + weights[columns])
        return values, values

    def distances(self, rows: Tensor, columns: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Cosine distances [rows, columns]."""
        left, right = self.points[rows].to(dtype), self.points[columns].to(dtype)
        return (1 - left @ right.T).clamp_(min=0)

    def sorted_rows(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Keys in rising order and their values, [rows, columns]; equal keys in the columns' order."""
        keys, values = self.keys_and_values(self.distances(rows, columns), rows, columns)
        if self.mode == "published":
            keys = sort_rows(keys)
            return keys, keys
        keys, order = _sorted_with_order(keys)
        return keys, values.gather(1, order)

    def exact(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Scores in float64, from scratch."""
        distances = self.distances(rows, columns, torch.float64)
        keys, values = self.keys_and_values(distances, rows, columns)
        order = keys.argsort(dim=1, stable=True)
        ranks = torch.arange(1, len(columns) + 1, dtype=torch.float64, device=columns.device)
        return values.gather(1, order) @ ranks.pow(-self.alpha)


def sort_rows(keys: Tensor) -> Tensor:
    """Rows in rising order. NumPy's vectorised sort is some ten times as fast as torch's on a CPU."""
    if keys.device.type == "cpu":
        keys.numpy().sort(axis=1)
        return keys
    return keys.sort(dim=1).values


def _sorted_with_order(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Stable. On a CPU, keys (which aren't negative, so their bits rise as they do) and places share 64 bits."""
    if keys.device.type != "cpu":
        found = keys.sort(dim=1, stable=True)
        return found.values, found.indices
    packed = keys.numpy().view(np.int32).astype(np.int64) << 32
    packed |= np.arange(keys.shape[1])
    packed.sort(axis=1)
    order = torch.from_numpy(packed & 0xFFFFFFFF)
    return torch.from_numpy((packed >> 32).astype(np.int32).view(np.float32)), order
