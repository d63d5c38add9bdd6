"""What a selection did, in numbers (``manifest.json``) and as a page (``report.html``)."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
from numpy.typing import NDArray

from data_synth.selection.pool import Pool

SETS = ("all", "random", "chosen")
COLOURS = {"all": "#9aa3b2", "random": "#e07b39", "chosen": "#2f6fde"}
MOST_NAMES = 40


@dataclass(frozen=True)
class Choice:
    """A task's rows, by number in the pool: all, the chosen in their order, as many at random; NovelSum of each."""

    task: str
    rows: NDArray[np.int64]
    chosen: list[int]
    random: list[int]
    novelsum: dict[str, float]

    def of(self, name: str) -> Sequence[int] | NDArray[np.int64]:
        """The rows of one of ``SETS``."""
        if name == "all":
            return self.rows
        return self.random if name == "random" else self.chosen


def describe(pool: Pool, choices: Sequence[Choice]) -> dict[str, Any]:
    """NovelSum and coverage: rows by subtask, distinct tools, and rows by operator, of all, random and chosen."""
    tasks = {}
    for choice in choices:
        counted = {name: pool.tools.counts(choice.of(name)) for name in SETS}
        tasks[choice.task] = {
            "num_rows": {name: len(choice.of(name)) for name in SETS},
            "novelsum": {name: round(choice.novelsum[name], 6) for name in SETS},
            "subtasks": {name: _subtasks(pool, choice.of(name)) for name in SETS},
            "num_tools": {name: len(counts) for name, counts in counted.items()},
        }
    rows = {name: [int(row) for choice in choices for row in choice.of(name)] for name in SETS}
    tools = {name: pool.tools.counts(rows[name]) for name in SETS}
    operators = {name: pool.operators.counts(rows[name]) for name in SETS}
    return {"tasks": tasks, "tools": tools, "operators": operators}


def write_report(path: Path, settings: dict[str, Any], described: dict[str, Any]) -> None:
    """The page, with everything in it."""
    template = resources.files(__package__).joinpath("report.html.j2").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    tasks, tools = described["tasks"], described["tools"]
    plots = [_novelsum_plot(tasks)]
    if tools["all"]:
        plots.append(_tools_plot(tools))
    page = environment.from_string(template).render(
        settings=settings,
        tasks=tasks,
        num_rows={name: sum(task["num_rows"][name] for task in tasks.values()) for name in SETS},
        tools=tools,
        operators=described["operators"],
        shown_tools=list(tools["all"])[:MOST_NAMES],
        plots=plots,
        sets=SETS,
    )
    path.write_text(page, "utf-8")


def _subtasks(pool: Pool, rows: Sequence[int] | NDArray[np.int64]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[pool.subtasks[row]] = counts.get(pool.subtasks[row], 0) + 1
    return dict(sorted(counts.items()))


def _novelsum_plot(tasks: dict[str, Any]) -> dict[str, str]:
    figure, axes = _figure()
    for number, name in enumerate(SETS):
        values = [task["novelsum"][name] for task in tasks.values()]
        places = [place + (number - 1) * 0.26 for place in range(len(values))]
        bars = axes.bar(places, values, 0.26, label=name, color=COLOURS[name])
        axes.bar_label(bars, fmt="%.3f", fontsize=7)
    axes.set_xticks(range(len(tasks)), list(tasks), rotation=15 if len(tasks) > 3 else 0)
    axes.legend(frameon=False)
    return {"title": "NovelSum by task (higher is more diverse)", "svg": _svg(figure)}


def _tools_plot(tools: dict[str, dict[str, int]]) -> dict[str, str]:
    """How evenly tools are used: rows per tool, from the most used to the least."""
    figure, axes = _figure()
    for name in SETS:
        counts = list(tools[name].values())
        axes.plot(
            range(1, len(counts) + 1),
            counts,
            label=f"{name}: {_perplexity(counts):.0f} effective",
            color=COLOURS[name],
        )
    axes.set_xlabel("tools, most used first")
    axes.set_ylabel("rows")
    axes.set_yscale("log")
    axes.legend(frameon=False)
    return {"title": "Rows by tool", "svg": _svg(figure)}


def _perplexity(counts: list[int]) -> float:
    """The number of equally used tools that would be as diverse: the exponential of the entropy."""
    total = sum(counts)
    return math.exp(-sum(count / total * math.log(count / total) for count in counts))


def _figure() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    return figure, axes


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "data_synth"}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    return text[text.index("<svg") :]
