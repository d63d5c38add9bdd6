"""Times and throughput over concurrency, for the run's folder and for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from evaluation.report.drawing import INK, MUTED, SERIES, figures, svg

PANELS = (
    ("ttft_s", "TTFT, s"),
    ("tpot_s", "TPOT, s"),
    ("latency_s", "latency, s"),
    ("output_tokens_per_s", "output tokens per s"),
)
type Levels = Sequence[Mapping[str, Any]]


def draw(runs: Mapping[str, Levels], paper: Mapping[str, Levels] | None = None) -> str:
    """Means with bands from the median to the 99th percentile, a line a run; the paper's as dashes.

    Args:
        runs: levels of ``results.json`` by name.
        paper: levels with means alone.
    """
    drawn, panels = figures(width=10.6, height=2.9, num_columns=len(PANELS))
    for axes, (key, title) in zip(panels, PANELS, strict=True):
        for number, (name, levels) in enumerate((paper or {}).items()):
            _line(axes, key, f"{name} (paper)", levels, MUTED, ("--", ":")[number % 2])
        for number, (name, levels) in enumerate(runs.items()):
            _line(axes, key, name, levels, SERIES[number % len(SERIES)], "-")
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel("concurrency")
        axes.set_xscale("log")
        shown = [*runs.values(), *(paper or {}).values()]
        ticks = sorted({level["concurrency"] for levels in shown for level in levels if key in level})
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(bottom=0)
    lines, names = panels[0].get_legend_handles_labels()
    drawn.legend(lines, names, loc="outside lower center", ncols=5, frameon=False, fontsize=9, labelcolor=INK)
    return svg(drawn)


def _line(axes: Axes, key: str, name: str, levels: Levels, colour: str, style: str) -> None:
    found = [level for level in levels if key in level]
    places = [level["concurrency"] for level in found]
    values = [level[key]["mean"] if isinstance(level[key], Mapping) else level[key] for level in found]
    axes.plot(places, values, style, color=colour, label=name, marker="o", markersize=3.5, linewidth=1.6)
    bands = [level[key] for level in found if isinstance(level[key], Mapping) and "p99" in level[key]]
    if len(bands) == len(found) > 0:
        axes.fill_between(
            places,
            [band["p50"] for band in bands],
            [band["p99"] for band in bands],
            color=colour,
            alpha=0.12,
            linewidth=0,
        )
