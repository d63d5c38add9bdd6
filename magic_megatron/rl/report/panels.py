"""A plot of the page, and how runs are drawn on it: single steps pale, running means strong, seeds as a band."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, PercentFormatter

from magic_megatron.drawing.plots import thin
from magic_megatron.rl.report.run_folder import SMOOTHED_FROM, Line, RunGroup

WIDE = 10.2
SHARE = PercentFormatter(1)
LARGE = EngFormatter(sep="")


@dataclass(frozen=True)
class Panel:
    """One plot; ``key`` names it for ``panels=``, ``draw`` puts it on any axes."""

    key: str
    title: str
    note: str
    draw: Callable[[Axes], None]
    width: float = 4.9
    height: float = 2.7


@dataclass(frozen=True)
class Section:
    title: str
    note: str
    panels: list[Panel]


@dataclass(frozen=True)
class Stroke:
    """How a metric of a group is drawn."""

    group: RunGroup
    key: str
    label: str | None
    colour: str
    style: str = "-"
    is_smoothed: bool = True
    marker: str | None = None


@dataclass(frozen=True)
class Scale:
    """The y axis. ``floor`` is where it starts, if it must; ``is_log`` is for values over more than a decade."""

    floor: float | None = None
    format: Any = None
    is_log: bool = False


def panel(
    key: str, title: str, note: str, strokes: Sequence[Stroke], scale: Scale, width: float = 4.9
) -> Panel:
    """The strokes over the steps."""

    def draw(axes: Axes) -> None:
        bands = [band for stroke in strokes if (band := _draw(axes, stroke)) is not None]
        _finish(axes, scale, bands)

    return Panel(key, title, note, draw, width)


def by_group(
    groups: Sequence[RunGroup],
    key: str,
    title: str,
    note: str,
    scale: Scale,
    *,
    width: float = 4.9,
    is_smoothed: bool = True,
) -> list[Panel]:
    """One metric, a line a group; nothing where no run has it."""
    strokes = [
        Stroke(group, key, group.label if len(groups) > 1 else None, group.colour, is_smoothed=is_smoothed)
        for group in groups
        if group.line(key, is_smoothed=False) is not None
    ]
    return [panel(key, title, note, strokes, scale, width)] if strokes else []


def _draw(axes: Axes, stroke: Stroke) -> Line | None:
    """The line with its band, which it returns; a group without the metric leaves no trace."""
    line = stroke.group.line(stroke.key, is_smoothed=False)
    if line is None:
        return None
    if stroke.is_smoothed and len(line.steps) >= SMOOTHED_FROM:
        if len(stroke.group.runs) == 1:
            axes.plot(*thin(line.steps, line.mean), color=stroke.colour, alpha=0.22, linewidth=0.7)
        line = stroke.group.line(stroke.key, is_smoothed=True) or line
    axes.plot(
        *thin(line.steps, line.mean),
        color=stroke.colour,
        linestyle=stroke.style,
        linewidth=1.1 if stroke.style == ":" else 1.8,
        marker=stroke.marker,
        markersize=3,
        label=stroke.label,
    )
    if line.band is None:
        return None
    steps, low = thin(line.steps, line.mean - line.band)
    high = thin(line.steps, line.mean + line.band)[1]
    axes.fill_between(steps, low, high, color=stroke.colour, alpha=0.14, linewidth=0)
    return line


def _finish(axes: Axes, scale: Scale, bands: Sequence[Line]) -> None:
    values = np.concatenate(
        [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines] or [np.zeros(1)]
    )
    if scale.is_log and 0 < 10 * values.min() < values.max():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(*_limits(values, scale.floor, bands))
        if scale.format is not None:
            axes.yaxis.set_major_formatter(scale.format)
    axes.set_xlabel("step")
    axes.margins(x=0.01)
    if num_labels := len(axes.get_legend_handles_labels()[1]):
        axes.legend(ncols=2 if num_labels > 3 else 1, frameon=False)


def _limits(values: np.ndarray, floor: float | None, bands: Sequence[Line]) -> tuple[float, float]:
    """Around the lines; a band of few seeds may be far wider than what it is about, and is cut."""
    low, high = float(values.min()), float(values.max())
    room = 0.6 * (high - low) or 0.5 * abs(high) or 1.0
    for line in bands:
        assert line.band is not None
        low = max(min(low, float((line.mean - line.band).min())), float(values.min()) - room)
        high = min(max(high, float((line.mean + line.band).max())), float(values.max()) + room)
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 1.0
    return (low - margin if floor is None else min(floor, low)), high + margin
