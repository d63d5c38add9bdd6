"""Everything the page's template shows, the page, and a picture of some of its plots."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml
from markupsafe import Markup

from magic_megatron.drawing.plots import Plot, finish, new_figure, new_grid, page_style, save_picture
from magic_megatron.drawing.runs import differing_keys
from magic_megatron.rl.report.panels import Panel, Section
from magic_megatron.rl.report.run_folder import RunGroup, keys_of
from magic_megatron.rl.report.sections import names_under, sections
from magic_megatron.rl.report.statistics import Interval, best, converged
from recipes.command import InputError

_FIFTH = 5
_PICTURED = re.compile("seesaw|reward|(validation|segment_entropies)(/.*)?")
_MOST_PICTURED = 12


@dataclass(frozen=True)
class Figure:
    """A number of each group, with what it means."""

    label: str
    values: list[str]


@dataclass(frozen=True)
class Evaluated:
    """A row of the table of best and converged success; None where a group wasn't evaluated at step 0."""

    task: str
    group: RunGroup
    num_seeds: int
    start: str
    best: str
    converged: str


@dataclass(frozen=True)
class Drawn:
    """A section with its plots drawn; each beside its name for ``panels=``."""

    section: Section
    plots: list[tuple[str, Plot, bool]]


def write_report(groups: Sequence[RunGroup], output: Path) -> None:
    """One HTML file, written aside and renamed.

    Raises:
        OSError: ``output`` can't be written.
    """
    page = render(groups)
    partial = output.with_suffix(output.suffix + ".partial")
    partial.write_text(page, "utf-8")
    partial.replace(output)


def render(groups: Sequence[RunGroup]) -> str:
    """The page: one HTML text without outside assets."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"svg": Markup, "yaml": _yaml}
    template = resources.files(__package__).joinpath("report.html.j2").read_text("utf-8")
    runs = [run for group in groups for run in group.runs]
    return environment.from_string(template).render(
        groups=groups,
        runs=runs,
        style=Markup(page_style()),
        figures=_figures(groups),
        evaluated=evaluations(groups),
        drawn=[_drawn(section) for section in sections(groups)],
        differences=differing_keys([run.flat_recipe for run in runs]),
    )


def write_picture(groups: Sequence[RunGroup], names: Sequence[str] | None, path: Path) -> None:
    """Some of the page's plots, two in a row.

    Args:
        names: of panels, as ``panels=`` has them; None for rewards, held-out and entropies.

    Raises:
        InputError: there is no such panel, or too many for one picture.
        OSError: ``path`` can't be written.
    """
    panels = [panel for section in sections(groups) for panel in section.panels]
    chosen = _usual(panels) if names is None else _chosen(panels, names)
    figure, grid = new_grid(len(chosen))
    for panel, axes in zip(chosen, grid, strict=True):
        panel.draw(axes)
        axes.set_title(panel.title, loc="left", fontsize=11, fontweight="bold")
    save_picture(figure, path)


def _usual(panels: Sequence[Panel]) -> list[Panel]:
    return ([panel for panel in panels if _PICTURED.fullmatch(panel.key)] or list(panels))[:_MOST_PICTURED]


def _chosen(panels: Sequence[Panel], names: Sequence[str]) -> list[Panel]:
    """In the order of the page. ``reward`` is the panel of that name and all those of ``reward/…``."""
    known = ", ".join(panel.key for panel in panels)
    for name in names:
        if not any(_matches(panel.key, name) for panel in panels):
            raise InputError(f"panels={name}: no such plot of these runs; there are {known}")
    chosen = [panel for panel in panels if any(_matches(panel.key, name) for name in names)]
    if not 0 < len(chosen) <= _MOST_PICTURED:
        raise InputError(
            f"panels=[{','.join(names)}]: {len(chosen)} plots; choose 1 to {_MOST_PICTURED} of {known}"
        )
    return chosen


def evaluations(groups: Sequence[RunGroup]) -> list[Evaluated]:
    """Table 5's two columns per task and group: the maximum, and the mean of the last fifth of the evaluations.

    Held-out evaluations where there are any of the task, else success on the games that were trained on.
    """
    held_out = names_under(groups, "validation/")
    tasks = {name.rsplit("/", 1)[0] for name in held_out}
    training = [name for name in names_under(groups, "success/") if name not in tasks]
    rows = [(f"validation/{name}", name.replace("/", ", ")) for name in held_out]
    rows += [(f"success/{name}", f"{name}, in training") for name in training]
    return [
        row for key, task in rows for group in groups if (row := _evaluated(key, task, group)) is not None
    ]


def _evaluated(key: str, task: str, group: RunGroup) -> Evaluated | None:
    highest, last = group.over_seeds(key, best), group.over_seeds(key, converged)
    if highest is None or last is None:
        return None
    steps = [run.curve(key)[0] for run in group.runs]
    begins = all(len(at) == 0 or at[0] == 0 for at in steps)
    start = group.over_seeds(key, lambda values: values[0]) if begins else None
    return Evaluated(task, group, highest.num, _share(start), _share(highest), _share(last))


def _figures(groups: Sequence[RunGroup]) -> list[Figure]:
    """What no run has isn't shown."""
    steps = "{:,.0f}".format
    wanted: list[tuple[str, str, Callable[[np.ndarray], Any], Callable[[float], str]]] = [
        ("reward, first fifth", "reward", lambda values: values[: -(-len(values) // _FIFTH)].mean(), _three),
        ("reward, last fifth", "reward", converged, _three),
        ("entropy, last fifth", "entropy", converged, _three),
        ("KL, last fifth", "kl", converged, "{:.2g}".format),
        ("greatest log-prob difference", "log_prob_difference_max", np.max, "{:.2g}".format),
        ("MaxVio, last fifth", "max_vio", converged, _three),
        ("response tokens, last fifth", "response_length", converged, steps),
        ("tokens/s, median", "tokens_per_s", np.median, steps),
        ("seconds a step, median", "step_time_s", np.median, "{:,.1f}".format),
        ("hours in steps", "step_time_s", lambda values: values.sum() / 3600, "{:.2f}".format),
    ]
    found = [
        Figure(label, [_shown(group.over_seeds(key, summarise), show) for group in groups])
        for label, key, summarise, show in wanted
        if key in keys_of(groups)
    ]
    reached = [
        Figure("steps", [" · ".join(f"{run.lines[-1]['step']:,}" for run in group.runs) for group in groups])
    ]
    return found + reached


def _drawn(section: Section) -> Drawn:
    return Drawn(section, [(panel.key, _draw(panel), panel.width > 5) for panel in section.panels])


def _draw(panel: Panel) -> Plot:
    figure, axes = new_figure(panel.width, panel.height)
    panel.draw(axes)
    return finish(panel.title, panel.note, figure)


def _matches(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}/")


def _shown(value: Interval | None, show: Callable[[float], str]) -> str:
    if value is None:
        return "–"
    width = "" if value.half_width is None else f" ± {show(value.half_width)}"
    return show(value.mean) + width


def _share(value: Interval | None) -> str:
    return _shown(value, lambda share: f"{100 * share:.1f}")


def _three(value: float) -> str:
    return f"{value:.3f}"


def _yaml(recipe: dict[str, Any]) -> str:
    return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
