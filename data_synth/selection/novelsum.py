"""One pool of vectors, selected from and measured, on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_synth.selection.density import Density, Mode, measure_density, normalise
from data_synth.selection.greedy import select
from data_synth.selection.metric import novelsum
from recipes.command import InputError


@dataclass
class Selector:
    """Unit vectors [n, d] and their densities, once measured."""

    points: Tensor
    num_threads: int
    densities: dict[Mode, Density] = field(default_factory=dict)

    @classmethod
    def open(cls, vectors: NDArray[np.float32], device: str, num_threads: int) -> Self:
        """Vectors of the pool's rows, on ``device``.

        Raises:
            InputError: there is no such device.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise InputError("device=cuda: no GPU is visible here; use device=cpu")
        return cls(normalise(vectors, device), num_threads)

    def measure(self, mode: Mode, num_neighbours: int, power: float, report: Callable[[int], object]) -> None:
        """Densities of ``mode``, and the published ones, which the metric is defined by."""
        torch.set_num_threads(self.num_threads)
        self.densities[mode] = measure_density(self.points, mode, num_neighbours, power, report)
        if mode != "published":
            self.densities["published"] = measure_density(self.points, "published", num_neighbours, power)

    def select(
        self, budget: int, mode: Mode, alpha: float, first: int, report: Callable[[int], object]
    ) -> list[int]:
        """See ``greedy.select``. A step's arrays are small, and one thread is faster than several that wait."""
        torch.set_num_threads(1)
        return select(self.points, self.densities[mode], budget, mode, alpha, first, report)

    def novelsum(self, rows: Sequence[int], most_rows: int, seed: int) -> float:
        """The published metric of these rows, with their densities in the pool."""
        torch.set_num_threads(self.num_threads)
        chosen = torch.tensor(rows, device=self.points.device)
        weights = self.densities["published"].weights[chosen]
        return novelsum(self.points[chosen], weights, most_rows, seed)
