"""A run's folder as the page needs it: what was logged, on which data, by which recipe."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml

from magic_megatron.drawing.runs import flat, folder_names
from recipes.command import InputError

_LAST_STEPS = 20  # so many last steps are one figure: a single step is noisy


@dataclass(frozen=True)
class RunFolder:
    """An ``output_dir`` of ``magic_megatron.sft``. What it doesn't have is empty.

    Attributes:
        name: told apart from the other runs of the page.
        metrics: a dict a step, never empty; ``routing`` and ``validation`` have those of some steps.
    """

    path: Path
    name: str
    metrics: list[dict[str, Any]]
    routing: list[dict[str, Any]]
    validation: list[dict[str, Any]]
    recipe: dict[str, Any]
    data: dict[str, Any]
    status: dict[str, Any]

    def curve(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values of a metric, where it was logged and is a number: [n] each."""
        points = [
            (line["step"], line[key])
            for line in self.metrics
            if line.get(key) is not None and math.isfinite(line[key])
        ]
        steps, values = np.array(points, dtype=float).reshape(-1, 2).T
        return steps, values

    def recent(self, key: str) -> float | None:
        """Mean of a metric over the last steps."""
        _, values = self.curve(key)
        return float(values[-_LAST_STEPS:].mean()) if len(values) else None

    def usual(self, key: str) -> float | None:
        """Median of a metric over all steps: the first one and those beside a save don't count for much."""
        _, values = self.curve(key)
        return median(values) if len(values) else None

    @property
    def last(self) -> dict[str, Any]:
        return self.metrics[-1]

    @property
    def num_tokens(self) -> int:
        return sum(line["num_tokens"] for line in self.metrics)

    @property
    def seconds(self) -> float:
        """In steps, without start-up, saves and passes over held-out rows."""
        return float(sum(line["step_time_s"] for line in self.metrics))

    @cached_property
    def flat_recipe(self) -> dict[str, Any]:
        """``{"optim.lr": 1e-05, …}``."""
        return dict(flat(self.recipe))


def read_runs(paths: list[str]) -> list[RunFolder]:
    """The folders, each under the shortest end of its path that no other has.

    Raises:
        InputError: no run of SFT is there, or it has no step yet, or a folder is named twice.
    """
    return [_read(Path(path), name) for path, name in zip(paths, folder_names(paths), strict=True)]


def _read(folder: Path, name: str) -> RunFolder:
    metrics = _read_lines(folder / "metrics.jsonl")
    if not metrics:
        raise InputError(
            f"runs={folder}: no step in {folder / 'metrics.jsonl'}; give the output_dir of a run of"
            " magic_megatron.sft that has begun"
        )
    recipe = folder / "recipe.yaml"
    return RunFolder(
        path=folder,
        name=name,
        metrics=metrics,
        routing=_read_lines(folder / "routing.jsonl"),
        validation=_read_lines(folder / "validation.jsonl"),
        recipe=yaml.safe_load(recipe.read_text("utf-8")) if recipe.is_file() else {},
        data=_read_object(folder / "data_summary.json"),
        status=_read_object(folder / "status.json"),
    )


def _read_object(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """A last line without its end is still being written."""
    if not path.is_file():
        return []
    return [
        json.loads(line) for line in path.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")
    ]
