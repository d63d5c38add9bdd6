"""One file a benchmark: ``evaluation/benchmarks/<name>.py`` with a function ``load(source)``.

A file is a benchmark's whole registration; a recipe of the same name in ``recipes/benchmark/`` makes it a
choice on the command line. Files that begin with ``_`` are shared parts.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from recipes.command import InputError

Message = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """Which part of a benchmark, and where its data lies. What a benchmark doesn't need is None."""

    subtask: str | None
    data: str | None
    language: str | None = None
    mode: str | None = None
    embedding: str | None = None
    num_shots: int | None = None


@dataclass(frozen=True)
class Verdict:
    """What one prediction is worth, 0 to 1, and why."""

    score: float
    reason: str


class Benchmark(Protocol):
    """A benchmark whose data is loaded and checked."""

    @property
    def ids(self) -> Sequence[str]:
        """The samples' ids, in the order of the data."""
        ...

    def prompt(self, sample_id: str) -> list[Message]:
        """The chat that asks a model for this sample's answer."""
        ...

    def score(self, sample_id: str, prediction: str) -> Verdict:
        """Judge a prediction. Total: no text makes it raise or take more than linear time."""
        ...

    def group(self, sample_id: str) -> str:
        """The row of the benchmark's own breakdown that this sample counts in."""
        ...

    def metrics(self, verdicts: Sequence[Verdict]) -> dict[str, float]:
        """The benchmark's figures over all verdicts (at least one), by name."""
        ...


def names() -> list[str]:
    """The benchmarks there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str, source: Source) -> Benchmark:
    """The benchmark ``name`` over ``source``.

    Raises:
        InputError: no such benchmark, or data that it can't use.
    """
    if name not in names():
        raise InputError(f"benchmark={name}: no such benchmark; choose one of {', '.join(names())}")
    benchmark: Benchmark = importlib.import_module(f"{__name__}.{name}").load(source)
    return benchmark
