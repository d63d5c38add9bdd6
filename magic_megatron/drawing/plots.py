"""How the page draws: matplotlib to inline SVG whose text stays text; the same numbers give the same bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

INK, MUTED, GRID = "#1f2937", "#6b7280", "#e5e7eb"
RUNS = ("#2f6fde", "#e07b39", "#3a9d6e", "#8e5bbf", "#c23b5a", "#0e9aa7", "#a4791c", "#6b7280")
LAYERS = LinearSegmentedColormap.from_list("layers", ["#7cc4b8", "#2f6fde", "#5b2a86"])
SELECTION = LinearSegmentedColormap.from_list("selection", ["#f5f7fb", "#9dbcf2", "#2f6fde", "#173a7a"])
# Kinds of pictures, each with the entry of its metadata that changes though the numbers don't.
PICTURES = {".png": "Software", ".svg": "Date", ".pdf": "CreationDate"}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "magic",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


@dataclass(frozen=True)
class Plot:
    """A plot with its caption."""

    title: str
    note: str
    svg: str


def new_figure(width: float = 4.9, height: float = 2.7) -> tuple[Figure, Axes]:
    """Inches; the page scales it to the width that it has."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.add_subplot()


def new_grid(num_plots: int) -> tuple[Figure, list[Axes]]:
    """Axes of a picture with several plots, two in a row."""
    with matplotlib.rc_context(_STYLE):
        num_columns = min(2, num_plots)
        num_rows = -(-num_plots // num_columns)
        figure = Figure(figsize=(5.4 * num_columns, 3.3 * num_rows), layout="constrained")
        grid = figure.subplots(num_rows, num_columns, squeeze=False).flat
        for axes in grid[num_plots:]:
            axes.remove()
        return figure, list(grid[:num_plots])


def save_picture(figure: Figure, path: Path) -> None:
    """A file for documents; the same numbers give the same bytes.

    Args:
        path: ends with one of ``PICTURES``.

    Raises:
        OSError: ``path`` can't be written.
    """
    metadata: dict[str, Any] = {PICTURES[path.suffix]: None}
    with matplotlib.rc_context(_STYLE):
        figure.savefig(path, metadata=metadata, dpi=160, facecolor="white")


def finish(title: str, note: str, figure: Figure) -> Plot:
    target = io.StringIO()
    metadata: Mapping[str, Any] = {"Date": None, "Creator": None}
    with matplotlib.rc_context(_STYLE):
        figure.savefig(target, format="svg", metadata=metadata, transparent=True, dpi=200)
    drawing = target.getvalue()
    svg = re.sub(r' (width|height)="[^"]*pt"', "", drawing[drawing.index("<svg") :], count=2)
    return Plot(title, note, svg)


def page_style() -> str:
    """The sheet of styles of the pages that show plots."""
    return resources.files(__package__).joinpath("page.css").read_text("utf-8")


def colour_of_run(number: int) -> str:
    return RUNS[number % len(RUNS)]


def smooth(values: np.ndarray, num_windows: int = 40) -> np.ndarray:
    """Centred running mean over about a fortieth of the steps, over what there is of them at both ends."""
    half = len(values) // (2 * num_windows)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    starts, ends = np.maximum(places - half, 0), np.minimum(places + half + 1, len(values))
    smoothed: np.ndarray = (sums[ends] - sums[starts]) / (ends - starts)
    return smoothed


def thin(steps: np.ndarray, values: np.ndarray, most: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Every k-th point, the last one included: a page of a long run stays small."""
    if len(steps) <= most:
        return steps, values
    kept = np.unique(np.append(np.arange(0, len(steps), -(-len(steps) // most)), len(steps) - 1))
    return steps[kept], values[kept]
