"""Runs of RL as the page needs them, those that differ only in their seed together."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from magic_megatron.drawing.plots import colour_of_run, smooth
from magic_megatron.drawing.runs import differing_keys, flat, folder_names
from magic_megatron.rl.report.statistics import Interval, half_widths, interval
from recipes.command import InputError

SMOOTHED_FROM = 30  # points; fewer are drawn as they are
NUM_WINDOWS = 12  # a running mean's window is this share of a run: rewards of single steps are noisy
_ALIKE = ("output_dir", "resume", "seed")  # last parts of the keys in which runs of one group may differ
_MOST_LABEL = 60


@dataclass(frozen=True)
class RunFolder:
    """An ``output_dir`` of ``magic_megatron.rl``.

    Attributes:
        name: told apart from the other runs of the page.
        lines: of ``metrics.jsonl``, one a step, ascending; never empty.
    """

    path: Path
    name: str
    lines: list[dict[str, Any]]
    recipe: dict[str, Any]

    def curve(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values of a metric, where it was logged and is a number: [n] each."""
        points = [(line["step"], line[key]) for line in self.lines if _is_number(line.get(key))]
        steps, values = np.array(points, dtype=float).reshape(-1, 2).T
        return steps, values

    @cached_property
    def keys(self) -> list[str]:
        return list(dict.fromkeys(key for line in self.lines for key in line if _is_number(line[key])))

    @cached_property
    def flat_recipe(self) -> dict[str, Any]:
        return dict(flat(self.recipe))

    @property
    def algorithm(self) -> str | None:
        """``grpo``, ``epo``, ``xxpo``, as its recipe names it."""
        name = self.flat_recipe.get("algorithm.name", self.flat_recipe.get("algorithm"))
        return None if name is None else str(name)


@dataclass(frozen=True)
class Line:
    """A metric over the steps: mean over seeds, and half the width of its confidence band; all [n]."""

    steps: np.ndarray
    mean: np.ndarray
    band: np.ndarray | None


@dataclass(frozen=True)
class RunGroup:
    """Runs that are seeds of one thing, drawn as one; or a run alone."""

    label: str
    colour: str
    runs: list[RunFolder]

    def line(self, key: str, *, is_smoothed: bool) -> Line | None:
        """Over the steps that all seeds with this metric reached; None where there are none.

        A running mean is taken of every seed by itself, so that the band is of what is drawn. Where seeds logged
        different steps, values between are interpolated.
        """
        curves = [curve for curve in (run.curve(key) for run in self.runs) if len(curve[0])]
        if not curves:
            return None
        first, last = max(steps[0] for steps, _ in curves), min(steps[-1] for steps, _ in curves)
        steps = np.unique(np.concatenate([steps for steps, _ in curves]))
        steps = steps[(first <= steps) & (steps <= last)]
        if not len(steps):
            return None
        drawn = [
            np.interp(steps, at, smooth(values, NUM_WINDOWS) if is_smoothed else values)
            for at, values in curves
        ]
        return Line(steps, np.mean(drawn, axis=0), half_widths(np.array(drawn)))

    def over_seeds(self, key: str, summarise: Any) -> Interval | None:
        """``summarise`` of each seed's values [n] of a metric, over the seeds that have it."""
        found = [values for _, values in (run.curve(key) for run in self.runs) if len(values)]
        return interval([summarise(values) for values in found]) if found else None


def read_runs(paths: Sequence[str]) -> list[RunFolder]:
    """
    Raises:
        InputError: no run of RL is there, it has no step yet, a line is broken, or a folder is named twice.
    """
    return [_read(Path(path), name) for path, name in zip(paths, folder_names(paths), strict=True)]


def group_runs(runs: Sequence[RunFolder], labels: Sequence[str] | None) -> list[RunGroup]:
    """By label, or those whose recipes differ in nothing but the seed; a run without a recipe is alone.

    Raises:
        InputError: there aren't as many labels as runs.
    """
    if labels is not None and len(labels) != len(runs):
        raise InputError(f"labels=[{','.join(labels)}]: {len(labels)} for {len(runs)} runs; give one a run")
    groups: dict[Any, list[RunFolder]] = {}
    for place, run in enumerate(runs):
        key = labels[place] if labels is not None else _without_seed(run) or run.name
        groups.setdefault(key if isinstance(key, str) else json.dumps(key, default=str), []).append(run)
    names = list(groups) if labels is not None else _names(list(groups.values()))
    return [
        RunGroup(name, colour_of_run(number), members)
        for number, (name, members) in enumerate(zip(names, groups.values(), strict=True))
    ]


def keys_of(groups: Iterable[RunGroup]) -> list[str]:
    """All metrics of all runs, in the order of their first lines."""
    return list(dict.fromkeys(key for group in groups for run in group.runs for key in run.keys))


def _without_seed(run: RunFolder) -> list[Any]:
    return sorted(
        (key, value) for key, value in run.flat_recipe.items() if key.rsplit(".", 1)[-1] not in _ALIKE
    )


def _names(groups: list[list[RunFolder]]) -> list[str]:
    """The algorithm; with what else differs where several groups share it; else the first run's name."""
    algorithms = [members[0].algorithm for members in groups]
    names = []
    for members, algorithm in zip(groups, algorithms, strict=True):
        if algorithm is None or len(groups) == 1 == len(members):
            names.append(members[0].name)
        elif algorithms.count(algorithm) == 1:
            names.append(algorithm)
        else:
            names.append(_with_differences(members[0], algorithm, groups))
    return names if len(set(names)) == len(names) else [members[0].name for members in groups]


def _with_differences(run: RunFolder, algorithm: str, groups: list[list[RunFolder]]) -> str:
    alike = [members[0].flat_recipe for members in groups if members[0].algorithm == algorithm]
    keys = [key for key in differing_keys(alike) if key.rsplit(".", 1)[-1] not in _ALIKE]
    name = ", ".join([algorithm, *(f"{key}={run.flat_recipe.get(key)}" for key in keys)])
    return name if len(name) <= _MOST_LABEL else f"{algorithm}, {run.name}"


def _read(folder: Path, name: str) -> RunFolder:
    path, recipe = folder / "metrics.jsonl", folder / "recipe.yaml"
    steps: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True) if path.is_file() else [], 1):
        if not line.endswith(b"\n"):
            break  # still being written
        try:
            found = json.loads(line)
            merged = steps.setdefault(int(found["step"]), {})
        except (ValueError, TypeError, KeyError):
            raise InputError(
                f"runs={folder}: {path} line {number} is no JSON object with a step; leave the run out, or that line"
            ) from None
        merged.update({key: value for key, value in found.items() if value is not None})
    if not steps:
        raise InputError(
            f"runs={folder}: no step in {path}; give the output_dir of a run of magic_megatron.rl that has begun"
        )
    return RunFolder(
        path=folder,
        name=name,
        lines=[steps[step] for step in sorted(steps)],
        recipe=yaml.safe_load(recipe.read_text("utf-8")) if recipe.is_file() else {},
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
