"""Everything the page's template shows, and the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from magic_megatron.drawing.plots import Plot, colour_of_run, page_style
from magic_megatron.drawing.runs import differing_keys
from magic_megatron.sft.report.curves import held_out_plots, speed_plots, training_plots
from magic_megatron.sft.report.routing import load_plots, router_plots, selection_plots
from magic_megatron.sft.report.run_folder import RunFolder, read_runs


@dataclass(frozen=True)
class Figure:
    """A number of each run, as text, with what it means; ``None`` where a run doesn't have it."""

    label: str
    values: list[str | None]


@dataclass(frozen=True)
class Experts:
    """The plots of a run's experts by layer."""

    run: RunFolder
    loads: list[Plot]
    selection: list[Plot]


def write_report(paths: Sequence[str | Path], output: Path) -> None:
    """One HTML file about these run folders, written aside and renamed.

    Raises:
        InputError: a folder holds no run.
        OSError: ``output`` can't be written.
    """
    page = render(read_runs([str(path) for path in paths]))
    partial = output.with_suffix(output.suffix + ".partial")
    partial.write_text(page, "utf-8")
    partial.replace(output)


def render(runs: list[RunFolder]) -> str:
    """The page: one HTML text without outside assets."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"svg": Markup, "number": "{:,}".format, "percent": _percent}
    template = resources.files(__package__).joinpath("report.html.j2").read_text("utf-8")
    return environment.from_string(template).render(
        runs=runs,
        colours=[colour_of_run(number) for number in range(len(runs))],
        headings=[_heading(run) for run in runs],
        figures=[figure for figure in _figures(runs) if any(value is not None for value in figure.values)],
        training=training_plots(runs),
        held_out=held_out_plots(runs),
        router=router_plots(runs),
        experts=[Experts(run, load_plots(run), selection_plots(run)) for run in runs if run.routing],
        speed=speed_plots(runs),
        differences=differing_keys([run.flat_recipe for run in runs]),
        style=Markup(page_style()),
        recipes=[yaml.safe_dump(run.recipe, sort_keys=False, allow_unicode=True) for run in runs],
    )


def _heading(run: RunFolder) -> str:
    """Model, layout and how far the run is."""
    recipe = run.flat_recipe
    sizes = [f"{key.upper()}{recipe[f'parallel.{key}']}" for key in ("tp", "pp", "cp", "ep") if recipe]
    model = [str(recipe["model.name"]), "·".join(sizes), str(recipe["platform.dtype"])] if recipe else []
    whole = f" of {run.status['num_steps']:,}" if run.status else ""
    return ", ".join([*model, f"step {run.last['step']:,}{whole}{_state(run)}"])


def _state(run: RunFolder) -> str:
    """A run that crashed or was killed still says that it is running."""
    says = {"running": "running, or broken off", "stopped": "stopped by a signal", "finished": "finished"}
    state = run.status.get("state")
    return f" ({says.get(state, state)})" if state else ""


def _figures(runs: list[RunFolder]) -> list[Figure]:
    def collect(label: str, figure: Callable[[RunFolder], Any], show: Callable[[Any], str]) -> Figure:
        found = [figure(run) for run in runs]
        return Figure(label, [None if value is None else show(value) for value in found])

    return [
        collect("loss, last 20 steps", lambda run: run.recent("loss"), "{:.4f}".format),
        collect("held-out loss", lambda run: _held_out(run, "loss"), "{:.4f}".format),
        collect("held-out exact match", lambda run: _held_out(run, "exact_match"), _percent),
        collect("MaxVio, last 20 steps", lambda run: run.recent("max_vio"), "{:.3f}".format),
        collect("tokens/s, median", lambda run: run.usual("tokens_per_s"), "{:,.0f}".format),
        collect("MFU, median", lambda run: run.usual("mfu"), _percent),
        collect("GiB, fullest rank", lambda run: run.last.get("memory_gib"), "{:,.1f}".format),
        collect("steps", lambda run: run.last["step"], "{:,}".format),
        collect("tokens", lambda run: run.num_tokens, _large),
        collect("in steps", lambda run: run.seconds, _duration),
    ]


def _held_out(run: RunFolder, key: str) -> float | None:
    return run.validation[-1][key] if run.validation else None


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _large(number: int) -> str:
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return (
                f"{number / size:.3g} {letter}" if number < 1000 * size else f"{number / size:,.0f} {letter}"
            )
    return str(number)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
