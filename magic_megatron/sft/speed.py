"""How fast a step was and what it took: tokens per second, MFU, where its time went, memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magic_megatron.config.cluster import ClusterConfig
from magic_megatron.config.model import ModelConfig
from magic_megatron.planner.flops import train_flops

_GIB = 2**30


class StepClock:
    """Wall time of a step's parts on this rank, one after the other."""

    def __init__(self) -> None:
        self._marks = [time.perf_counter()]

    def mark(self) -> None:
        """A part ends here. What was sent to a GPU must have come back by then."""
        self._marks.append(time.perf_counter())

    @property
    def parts(self) -> Sequence[float]:
        """Seconds of each part."""
        return [float(part) for part in np.diff(self._marks)]


@dataclass(frozen=True)
class SpeedMeter:
    """Makes a line's figures of speed.

    Attributes:
        vocab_size: rows of the embedding.
        num_gpus: processes of the run.
    """

    model: ModelConfig
    cluster: ClusterConfig
    vocab_size: int
    num_gpus: int

    def __call__(self, clock: StepClock, lengths: NDArray[np.int64], peak_memory: int) -> dict[str, Any]:
        """Of a step whose clock was marked after the data, after the backward passes and after the update.

        Args:
            lengths: tokens of every row of the global batch.
            peak_memory: bytes of the rank that took most so far.

        Returns:
            ``step_time_s``, of it ``data_time_s`` and ``optimizer_time_s``, ``tokens_per_s`` of all ranks,
            ``memory_gib``, and ``mfu`` where the cluster has a peak.
        """
        data, _, update = clock.parts
        elapsed = sum(clock.parts)
        speed = {
            "step_time_s": elapsed,
            "data_time_s": data,
            "optimizer_time_s": update,
            "tokens_per_s": int(lengths.sum()) / elapsed,
            "memory_gib": peak_memory / _GIB,
        }
        if self.cluster.peak_tflops is None:
            return speed
        available = elapsed * self.num_gpus * self.cluster.peak_tflops * 1e12
        return speed | {"mfu": train_flops(self.model, lengths, self.vocab_size) / available}
