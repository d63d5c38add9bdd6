"""Curves over the steps: training, its speed, and held-out rows. Several runs lie over one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, PercentFormatter

from magic_megatron.drawing.plots import (
    INK,
    RUNS,
    Plot,
    colour_of_run,
    finish,
    new_figure,
    smooth,
    thin,
)
from magic_megatron.sft.report.run_folder import RunFolder

WIDE = 10.2


@dataclass(frozen=True)
class Curve:
    """A metric of ``metrics.jsonl`` and how it is drawn.

    ``floor`` is where its axis starts, if it must; ``is_log`` makes the axis logarithmic for values over more than a
    decade.
    """

    key: str
    title: str
    note: str
    is_smoothed: bool = True
    floor: float | None = 0.0
    width: float = 4.9
    format: Any = None
    is_log: bool = False


TRAINING = (
    Curve("loss", "Loss", "per target token, over the global batch", width=WIDE, is_log=True),
    Curve("grad_norm", "Gradient norm", "before clipping"),
    Curve("lr", "Learning rate", "warm-up, then cosine", is_smoothed=False, format="{x:.1e}"),
)
SPEED = (
    Curve("tokens_per_s", "Tokens per second", "all processes together", format=EngFormatter(sep="")),
    Curve("mfu", "MFU", "model FLOPs of the step over what all GPUs could do", format=PercentFormatter(1)),
    Curve("memory_gib", "Memory, GiB", "peak of the fullest rank so far", is_smoothed=False),
)
_PARTS = (
    ("data_time_s", "data", "#e07b39"),
    ("optimizer_time_s", "optimizer", "#8e5bbf"),
    ("", "forward and backward", "#9dbcf2"),
)
_HELD_OUT = (
    ("exact_match", "Exact match", "share of held-out rows answered to the letter", PercentFormatter(1)),
    ("loss", "Held-out loss", "per target token", None),
    ("token_accuracy", "Token accuracy", "target tokens that are the most probable", PercentFormatter(1)),
)


def training_plots(runs: Sequence[RunFolder]) -> list[Plot]:
    return draw(TRAINING, runs)


def speed_plots(runs: Sequence[RunFolder]) -> list[Plot]:
    """How fast, and for a run alone where the time of a step goes."""
    plots = draw(SPEED, runs)
    return [*plots, *_step_time(runs[0])] if len(runs) == 1 else plots


def held_out_plots(runs: Sequence[RunFolder]) -> list[Plot]:
    """A run alone by domain; several by run, over all rows."""
    if not any(run.validation for run in runs):
        return []
    lines = _by_domain(runs[0]) if len(runs) == 1 else _by_run(runs)
    plots: list[Plot] = []
    for key, title, note, format in _HELD_OUT:
        figure, axes = new_figure(width=3.6, height=2.6)
        for label, colour, points in lines(key):
            axes.plot(*points, color=colour, linewidth=1.8, marker="o", markersize=3, label=label)
        _finish_axes(axes, floor=0.0, format=format, has_legend=not plots)
        if not any(np.any(line.get_ydata()) for line in axes.lines):
            axes.set_ylim(0, 1)
        plots.append(finish(title, note, figure))
    return plots


def draw(curves: Sequence[Curve], runs: Sequence[RunFolder]) -> list[Plot]:
    """One plot for each metric that any of the runs has."""
    return [_draw(curve, runs) for curve in curves if any(len(run.curve(curve.key)[0]) for run in runs)]


def _draw(curve: Curve, runs: Sequence[RunFolder]) -> Plot:
    figure, axes = new_figure(curve.width)
    for number, run in enumerate(runs):
        steps, values = run.curve(curve.key)
        colour, label = colour_of_run(number), run.name
        if curve.is_smoothed and len(steps) >= 80:
            axes.plot(*thin(steps, values), color=colour, alpha=0.22, linewidth=0.7)
            values = smooth(values)
        if len(steps):
            axes.plot(*thin(steps, values), color=colour, linewidth=1.8, label=label)
    if curve.is_log and _spans_a_decade(axes):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        _finish_axes(axes, floor=None, format=None, has_legend=len(runs) > 1)
    else:
        _finish_axes(axes, curve.floor, curve.format, has_legend=len(runs) > 1)
    return finish(curve.title, curve.note, figure)


def _step_time(run: RunFolder) -> list[Plot]:
    """Stacked seconds of a step's parts; nothing where they weren't measured."""
    steps, total = run.curve("step_time_s")
    parts = {name: run.curve(key)[1] for key, name, _ in _PARTS if key}
    if any(len(values) != len(total) for values in parts.values()):
        return []
    parts["forward and backward"] = total - sum(parts.values())
    figure, axes = new_figure()
    x = thin(steps, total)[0]
    stacked = [thin(steps, smooth(parts[name]))[1] for _, name, _ in _PARTS]
    axes.stackplot(
        x, *stacked, labels=[name for _, name, _ in _PARTS], colors=[c for *_, c in _PARTS], linewidth=0
    )
    _finish_axes(axes, floor=0.0, format=None, has_legend=True)
    return [finish("Time of a step, seconds", "running mean", figure)]


Lines = list[tuple[str, str, tuple[list[int], list[float]]]]


def _by_domain(run: RunFolder) -> Callable[[str], Lines]:
    domains = list(dict.fromkeys(name for line in run.validation for name in line["domains"]))

    def lines(key: str) -> Lines:
        found = []
        for number, name in enumerate(domains):
            seen = [line for line in run.validation if name in line["domains"]]
            points = [line["step"] for line in seen], [line["domains"][name][key] for line in seen]
            found.append((name.rsplit("/", 1)[-1], RUNS[number % len(RUNS)], points))
        return [*found, ("all rows", INK, _overall(run, key))]

    return lines


def _by_run(runs: Sequence[RunFolder]) -> Callable[[str], Lines]:
    return lambda key: [
        (run.name, colour_of_run(number), _overall(run, key))
        for number, run in enumerate(runs)
        if run.validation
    ]


def _overall(run: RunFolder, key: str) -> tuple[list[int], list[float]]:
    return [line["step"] for line in run.validation], [line[key] for line in run.validation]


def _spans_a_decade(axes: Axes) -> bool:
    values = np.concatenate([np.asarray(line.get_ydata()) for line in axes.lines])
    return bool(0 < 10 * values.min() < values.max())


def _finish_axes(axes: Axes, floor: float | None, format: Any, *, has_legend: bool) -> None:
    axes.set_xlabel("step")
    axes.margins(x=0.01)
    if floor is not None:
        axes.set_ylim(bottom=floor)
    if format is not None:
        axes.yaxis.set_major_formatter(format)
    if has_legend:
        axes.legend(ncols=2 if len(axes.lines) > 3 else 1, frameon=False)
