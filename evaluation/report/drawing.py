"""Figures as inline SVG whose text stays text; the same numbers give the same bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, GRID, CARD = "#1f2937", "#6b7280", "#e5e7eb", "#fefefe"
ACCENT, BEFORE = "#2f6fde", "#b6bfcc"
SERIES = ("#2f6fde", "#e07b39", "#3a9d6e", "#8e5bbf", "#c23b5a", "#0e9aa7", "#b58900", "#d455a5")
PAGE_COLOURS = {INK: "ink", MUTED: "muted", GRID: "line", CARD: "card", BEFORE: "before"}
"""Colours that the page's style sheet may replace by its own, light or dark; alone they are as given here."""
STYLE: dict[Any, Any] = {
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


def figure(width: float = 4.9, height: float = 2.7) -> tuple[Figure, Axes]:
    """One pair of axes in the page's style; inches at 72 to the inch."""
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(width, height), layout="constrained")
        return drawn, drawn.add_subplot()


def figures(width: float, height: float, num_columns: int) -> tuple[Figure, list[Axes]]:
    """A row of axes in the page's style."""
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(width, height), layout="constrained")
        return drawn, list(drawn.subplots(1, num_columns, squeeze=False)[0])


def svg(drawn: Figure) -> str:
    """The figure as an ``svg`` element without a size of its own."""
    target = io.StringIO()
    metadata: Mapping[str, Any] = {"Date": None, "Creator": None}
    with matplotlib.rc_context(STYLE):
        drawn.savefig(target, format="svg", metadata=metadata, transparent=True)
    drawing = target.getvalue()
    drawing = re.sub(r' (width|height)="[^"]*pt"', "", drawing[drawing.index("<svg") :], count=2)
    for colour, name in PAGE_COLOURS.items():
        drawing = drawing.replace(f": {colour}", f": var(--{name}, {colour})")
    return drawing
