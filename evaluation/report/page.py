"""Everything the page's template shows, and the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from evaluation.efficiency.plot import draw
from evaluation.report.browser import BrowserLimits, browsed, embedded
from evaluation.report.drawing import Plot
from evaluation.report.figures import Difference, Figure, Row, all_figures, breakdown, differences
from evaluation.report.plots import accuracy_plot, reward_plot, routing_plots, training_plots
from evaluation.report.results_folder import EFFICIENCY, Entrant, Result
from evaluation.report.run_folder import Evaluation, RunFolder
from evaluation.report.sources import GoldFiles, heldout_sources, read_sources, row_source
from evaluation.report.statistics import Resampling
from evaluation.report.summary import HEADLINE, summarise
from evaluation.report.tables import PaperTable, TimeTable, paper_tables, read_paper, time_table


@dataclass(frozen=True)
class Tried:
    """A prediction and its verdict."""

    text: str
    is_right: bool
    reason: str


@dataclass(frozen=True)
class Example:
    """A held-out puzzle with its solution, and what the model said before and after training."""

    sample_id: str
    prompt: str
    solution: str
    before: Tried | None
    after: Tried | None


@dataclass(frozen=True)
class Section:
    """One run on the page."""

    run: RunFolder
    summary: dict[str, dict[str, Any]]
    headline: dict[str, Evaluation]
    rejected: Counter[str]
    accuracy: Plot | None
    reward: Plot | None
    training: list[Plot]
    routing: list[Plot]
    examples: dict[str, list[Example]]
    errors: list[str]

    @property
    def has_stages(self) -> bool:
        """Whether the run did anything but evaluate."""
        run = self.run
        return bool(
            self.summary or run.stages or run.manifests or run.training or self.examples or self.errors
        )


def make_section(run: RunFolder, num_examples: int) -> Section:
    """What the page shows of ``run``."""
    when = {"before": run.before, "after": run.after}
    return Section(
        run=run,
        summary=summarise(run),
        headline={name: found[HEADLINE] for name, found in when.items() if HEADLINE in found},
        rejected=_count_rejected(run),
        accuracy=accuracy_plot(run) if run.subtasks else None,
        reward=reward_plot(run) if run.rl else None,
        training=training_plots(run),
        routing=routing_plots(run),
        examples={subtask: _pick_examples(run, subtask, num_examples) for subtask in run.subtasks},
        errors=[
            f"{name} training, {subtask}: {len(evaluation.results['errors'])} requests got no answer "
            "and count nowhere"
            for name, found in when.items()
            for subtask, evaluation in found.items()
            if evaluation.results.get("errors")
        ],
    )


@dataclass(frozen=True)
class Part:
    """One benchmark's part on the page: each entrant's result, and its figures and breakdown."""

    title: str
    results: list[tuple[str, Result, list[Figure], list[Row]]]


@dataclass(frozen=True)
class Compared:
    """All evaluations on the page, beside the paper's and each other."""

    tables: list[PaperTable]
    times: TimeTable | None
    time_plot: str | None
    parts: list[Part]
    differences: list[Difference]
    browser: dict[str, Any]


def compare_entrants(
    runs: Sequence[RunFolder], files: GoldFiles, resampling: Resampling, limits: BrowserLimits
) -> Compared:
    """What the page shows of all entrants of the runs."""
    entrants = _named_apart([entrant for run in runs for entrant in run.entrants], runs)
    given = read_sources(files)
    sources = [{**given, **heldout_sources(run.solutions)} for run in runs for _ in run.entrants]
    levels = {entrant.name: entrant.levels for entrant in entrants if entrant.levels}
    return Compared(
        tables=paper_tables(entrants, resampling),
        times=time_table(entrants),
        time_plot=draw(levels, _paper_levels()) if levels else None,
        parts=_parts(entrants, resampling),
        differences=differences(entrants, resampling),
        browser=browsed(entrants, sources, limits),
    )


def render(sections: list[Section], compared: Compared) -> str:
    """The page: one HTML text without outside assets."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(
            lambda name: resources.files(__package__).joinpath(name).read_text("utf-8")
        ),
    )
    environment.filters |= {"percent": _percent, "duration": _duration, "svg": Markup, "figure": _figure}
    environment.filters |= {"embedded": lambda value: Markup(embedded(value))}
    return environment.get_template("report.html.j2").render(sections=sections, compared=compared)


def _named_apart(entrants: list[Entrant], runs: Sequence[RunFolder]) -> list[Entrant]:
    """Entrants of the same name get as much of their folders' paths as tells them apart."""
    parents = [run.path.resolve().parent.parts for run in runs for _ in run.entrants]
    namesakes: dict[str, set[tuple[str, ...]]] = {}
    for entrant, parts in zip(entrants, parents, strict=True):
        namesakes.setdefault(entrant.name, set()).add(parts)

    def apart(entrant: Entrant, parts: tuple[str, ...]) -> Entrant:
        others = namesakes[entrant.name] - {parts}
        length = 0
        while any(other[-length:] == parts[-length:] or not length for other in others):
            length += 1
        return replace(entrant, name=str(Path(*parts[len(parts) - length :], entrant.name)))

    return [apart(*pair) for pair in zip(entrants, parents, strict=True)]


def _paper_levels() -> dict[str, list[dict[str, Any]]]:
    levels: dict[str, list[dict[str, Any]]] = {}
    for line in read_paper()[7]["levels"]:
        levels.setdefault(line["model"], []).append(line)
    return levels


def _parts(entrants: Sequence[Entrant], resampling: Resampling) -> list[Part]:
    found: dict[str, list[tuple[str, Result, list[Figure], list[Row]]]] = {}
    for entrant in entrants:
        for result in entrant.results:
            if result.benchmark != EFFICIENCY:
                figures, rows = all_figures(result, resampling), breakdown(result, resampling)
                found.setdefault(result.title, []).append((entrant.name, result, figures, rows))
    return [Part(title, results) for title, results in sorted(found.items())]


def _count_rejected(run: RunFolder) -> Counter[str]:
    """Attempts that gave no row of training data, by reason, over all subtasks."""
    domains = (domain for manifest in run.manifests for domain in manifest["domains"].values())
    return sum((Counter(domain["rejected"]) for domain in domains), Counter())


def _pick_examples(run: RunFolder, subtask: str, num_examples: int) -> list[Example]:
    """Solved and unsolved puzzles by turns, in the order of the data, as far as there are both."""
    before, after = run.before.get(subtask), run.after.get(subtask)
    judged = after or before
    assert judged is not None
    verdicts = {name: verdict for name, verdict in judged.verdicts.items() if name in run.solutions}
    solved = [name for name, verdict in verdicts.items() if verdict["score"] == 1]
    unsolved = [name for name, verdict in verdicts.items() if verdict["score"] != 1]
    num_unsolved = min(len(unsolved), max(num_examples // 2, num_examples - len(solved)))
    chosen = solved[: num_examples - num_unsolved] + unsolved[:num_unsolved]
    return [
        Example(
            sample_id=name,
            prompt=row_source(run.solutions[name]).prompt,
            solution=row_source(run.solutions[name]).gold,
            before=_tried(before, name),
            after=_tried(after, name),
        )
        for name in chosen
    ]


def _tried(evaluation: Evaluation | None, name: str) -> Tried | None:
    if evaluation is None or name not in evaluation.predictions:
        return None
    verdict = evaluation.verdicts[name]
    return Tried(evaluation.predictions[name], verdict["score"] == 1, verdict["reason"])


def _figure(value: float, name: str) -> str:
    """A share in percent; counts and means of counts as they are."""
    if name.startswith(("num_", "mean_")):
        return f"{value:.4g}"
    return f"{100 * value:.1f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
