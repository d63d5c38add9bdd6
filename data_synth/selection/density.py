"""How densely a pool lies around each of its points: NovelSum's information density.

As in the NovelSum repository (MIT), neighbours are looked for among the pool's distinct points, so that copies of a
point don't make it infinitely dense.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Mode = Literal["published", "paper"]
BLOCK_BYTES = 1 << 27
"""Of distances held at a time."""
SPARE_NEIGHBOURS = 6
"""Looked at beyond K, since float32 may order near ones wrongly; then float64 decides."""
SMALLEST = 1e-9


@dataclass(frozen=True)
class Density:
    """Of each point of a pool.

    Attributes:
        weights: σ^β of Eq. 1, or the published code's ρ; float64 [n].
        reach: at least the distance to the farthest point; float32 [n].
    """

    weights: Tensor
    reach: Tensor

    @cached_property
    def single(self) -> Tensor:
        """The weights in float32."""
        return self.weights.float()


def normalise(embeddings: NDArray[np.float32], device: str | torch.device) -> Tensor:
    """Unit vectors, float32 [n, d].

    Raises:
        ValueError: a vector is zero or not finite.
    """
    points = torch.from_numpy(np.ascontiguousarray(embeddings, dtype=np.float32)).to(device)
    lengths = torch.linalg.vector_norm(points.double(), dim=1)
    if not bool((torch.isfinite(lengths) & (lengths > 0)).all()):
        raise ValueError("embeddings: a vector is zero or not finite")
    return (points.double() / lengths[:, None]).float()


def measure_density(
    points: Tensor, mode: Mode, num_neighbours: int, power: float, report: Callable[[int], object] = int
) -> Density:
    """Densities over the whole pool, from exact nearest neighbours.

    Args:
        points: unit vectors, [n, d].
        num_neighbours: K; fewer where the pool is smaller.
        power: β.
        report: told how many of the points were done, as they are.
    """
    unique, inverse = _distinct(points)
    weights = torch.empty(len(unique), dtype=torch.float64, device=points.device)
    reach = torch.empty(len(unique), device=points.device)
    count = min(num_neighbours, len(unique) - 1)
    if count == 0:
        alone = torch.ones(len(points), dtype=torch.float64, device=points.device)
        return Density(alone, alone.float())
    rows = max(1, BLOCK_BYTES // (4 * len(unique)))
    for start in range(0, len(unique), rows):
        block = unique[start : start + rows]
        similar = block @ unique.T
        reach[start : start + rows] = 1 - similar.amin(dim=1) + 1e-5
        similar[torch.arange(len(block)), torch.arange(start, start + len(block))] = -torch.inf
        wanted = min(count + SPARE_NEIGHBOURS, len(unique) - 1)
        neighbours = torch.topk(similar, wanted, dim=1, sorted=False).indices
        distances = _exact_distances(block, unique, neighbours)
        nearest = distances.sort(dim=1).values[:, :count]
        # Squared Euclidean distances of unit vectors are twice the cosine distances.
        spread = (
            nearest.sum(dim=1).clamp(min=SMALLEST) if mode == "paper" else 2 * nearest.mean(dim=1) + SMALLEST
        )
        weights[start : start + rows] = spread.pow(-power)
        report(len(block))
    return Density(weights[inverse], reach[inverse])


def _distinct(points: Tensor) -> tuple[Tensor, Tensor]:
    rows = points.cpu().numpy()
    whole = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    order = np.argsort(first)  # in the pool's order
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return points[torch.from_numpy(np.sort(first))], torch.from_numpy(places[inverse]).to(points.device)


def _exact_distances(block: Tensor, points: Tensor, neighbours: Tensor) -> Tensor:
    """Cosine distances in float64, [rows, K]."""
    near = points[neighbours].double() @ block.double()[:, :, None]
    return (1 - near[:, :, 0]).clamp(min=0)
