"""The paper's tables with the user's runs below the paper's rows, and what keeps a run from being compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import product
from typing import Any

import yaml

from evaluation.report.figures import Figure, figure_of
from evaluation.report.results_folder import EFFICIENCY, Entrant, Result
from evaluation.report.statistics import Resampling

OFFICIAL_PUZZLES = ("trip_planning_example", "meeting_planning_example", "calendar_scheduling_example")
"""How the ids of NaturalPlan's published puzzles begin."""
OFFICIAL_EMBEDDING = "all-mpnet-base-v2"
BUILT = "games that were built, not the official ones"
CONVERGED = 5
"""A run of RL converged to the last fifth of its evaluations, as in ``magic_megatron/rl/report/statistics.py``."""
TABLE_7_TOKENS = 1024
TIMES = ("ttft_s", "tpot_s", "latency_s")


@dataclass(frozen=True)
class Cell:
    """A run's figure in a column of the paper's; ``notes`` number the reasons why it isn't comparable."""

    figure: Figure
    num_samples: int
    notes: list[int]


@dataclass(frozen=True)
class OwnRow:
    """An entrant in one of the paper's tables."""

    name: str
    cells: list[Cell | None]

    @property
    def is_marked(self) -> bool:
        """Whether it has a cell that isn't comparable."""
        return any(cell and cell.notes for cell in self.cells)


@dataclass(frozen=True)
class PaperTable:
    """``groups``: (heading, number of columns) of neighbouring columns."""

    number: int
    title: str
    groups: list[tuple[str, int]]
    columns: list[str]
    sections: list[dict[str, Any]]
    own: list[OwnRow]
    notes: list[str]

    @property
    def has_methods(self) -> bool:
        """Whether the paper's rows say by which method."""
        return any("method" in row for section in self.sections for row in section["rows"])


@dataclass(frozen=True)
class TimeRow:
    """A line of Table 7. ``notes`` as in ``Cell``; a paper's row has neither them nor a throughput."""

    name: str
    is_paper: bool
    concurrency: int
    times: list[float | None]
    tokens_per_s: float | None
    num_errors: int
    notes: list[int]


@dataclass(frozen=True)
class TimeTable:
    """Table 7, by concurrency."""

    number: int
    title: str
    rows: list[TimeRow]
    notes: list[str]


class _Notes:
    """Reasons, numbered from 1 as they come."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def number(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


def read_paper() -> dict[int, dict[str, Any]]:
    """``paper.yaml``: the tables by number."""
    text = resources.files(__package__).joinpath("paper.yaml").read_text("utf-8")
    return {table["number"]: table for table in yaml.safe_load(text)["tables"]}


def paper_tables(entrants: Sequence[Entrant], resampling: Resampling) -> list[PaperTable]:
    """Those of Tables 2 to 5 in which an entrant has a figure."""
    return [
        made
        for number, table in read_paper().items()
        if number != 7 and (made := _make_table(table, entrants, resampling)).own
    ]


def time_table(entrants: Sequence[Entrant]) -> TimeTable | None:
    """Table 7, if an entrant measured its efficiency."""
    if not any(entrant.levels for entrant in entrants):
        return None
    table, notes = read_paper()[7], _Notes()
    rows = [
        TimeRow(line["model"], True, line["concurrency"], [line[key] for key in TIMES], None, 0, [])
        for line in table["levels"]
    ]
    for entrant in entrants:
        for result in entrant.find(EFFICIENCY):
            marks = [notes.number(reason) for reason in _time_reasons(result)]
            rows += [_time_row(entrant.name, level, marks) for level in result.levels]
    ordered = sorted(rows, key=lambda row: (row.concurrency, not row.is_paper))
    return TimeTable(7, table["title"], ordered, notes.texts)


def _time_row(name: str, level: Mapping[str, Any], marks: list[int]) -> TimeRow:
    return TimeRow(
        name=name,
        is_paper=False,
        concurrency=level["concurrency"],
        times=[level[key]["mean"] if key in level else None for key in TIMES],
        tokens_per_s=level.get("output_tokens_per_s"),
        num_errors=level["num_errors"],
        notes=marks,
    )


def _time_reasons(result: Result) -> Iterator[str]:
    yield "measured on the hardware of the endpoint, not on the paper's"
    sizes = [result.settings.get(key) for key in ("input_tokens", "output_tokens")]
    if sizes != [TABLE_7_TOKENS] * 2 and None not in sizes:
        yield f"{sizes[0]} tokens in and {sizes[1]} out instead of {TABLE_7_TOKENS} each"


def _make_table(table: Mapping[str, Any], entrants: Sequence[Entrant], resampling: Resampling) -> PaperTable:
    columns, notes = table["columns"], _Notes()
    groups: list[tuple[str, int]] = []
    for column in columns:
        is_same = bool(groups) and groups[-1][0] == column["group"]
        groups[-1:] = (
            [(column["group"], groups[-1][1] + 1)] if is_same else [*groups[-1:], (column["group"], 1)]
        )
    is_mixed = len({column["find"]["benchmark"] for column in columns if "find" in column}) > 1
    rows = [
        OwnRow(entrant.name, [_cell(entrant, column, notes, is_mixed, resampling) for column in columns])
        for entrant in entrants
    ]
    return PaperTable(
        number=table["number"],
        title=table["title"],
        groups=groups,
        columns=[column["name"] for column in columns],
        sections=table["sections"],
        own=[row for row in rows if any(row.cells)],
        notes=notes.texts,
    )


def _cell(
    entrant: Entrant, column: Mapping[str, Any], notes: _Notes, is_mixed: bool, resampling: Resampling
) -> Cell | None:
    """``is_mixed``: the table has several benchmarks, so that a reason must say whose it is."""
    found = _locate(entrant, column["find"]) if "find" in column else None
    if found is None:
        return _training_cell(entrant, column["training"], notes) if "training" in column else None
    result, name, group = found
    groups = column.get("groups") if group is None else [group]
    own = [s for s in result.samples if groups is None or result.group_of.get(s.id) in groups]
    num_samples = len({sample.id for sample in own})
    official = column.get("num_official")
    about = f"{column['group']}: "
    reasons = [f"{about if is_mixed else ''}{reason}" for reason in reasons_against(result)]
    if official and num_samples and num_samples < official:
        reasons.append(f"{about}{num_samples:,} of the official {official:,} samples")
    return Cell(
        figure=figure_of(result, name, group, resampling),
        num_samples=num_samples,
        notes=[notes.number(reason) for reason in reasons],
    )


def _training_cell(entrant: Entrant, wanted: Mapping[str, str], notes: _Notes) -> Cell | None:
    """Of a run of RL: the best of its evaluations on a split of ALFWorld, or the mean of the last fifth of them."""
    for environment, sampling in product(("alfworld", "alfworld_built"), ("greedy", "sampled")):
        values = entrant.validation.get(f"{environment}/{wanted['split']}/{sampling}")
        if not values:
            continue
        last = values[-math.ceil(len(values) / CONVERGED) :]
        value = max(values) if wanted["of"] == "best" else sum(last) / len(last)
        reasons = [
            f"{sampling} evaluations of one training run, on as many games as it validated on; the paper's are means "
            "over five seeds, which python -m magic_megatron.rl.report has"
        ]
        reasons += [BUILT] if environment == "alfworld_built" else []
        return Cell(Figure("success", value, None), 0, [notes.number(reason) for reason in reasons])
    return None


def _locate(entrant: Entrant, find: Mapping[str, Any]) -> tuple[Result, str, str | None] | None:
    """(result, figure, group or None for the whole) that a column of the paper's asks for."""
    part = find.get("part")
    for result in entrant.find(find["benchmark"]):
        if part is None or part in (result.part or "").split():
            for name in find["metric"]:
                if name in result.metrics:
                    return result, name, None
        for group in result.groups if part else []:
            if str(group["group"]).lower().replace(" ", "_") == part:
                for name in find["metric"]:
                    if name in group:
                        return result, name, str(group["group"])
    return None


def reasons_against(result: Result) -> Iterator[str]:
    """Why this result isn't comparable with the paper's, as far as its files tell."""
    if result.benchmark.startswith("magic_eval"):
        yield "our own public counterpart of the paper's in-house set"
    if result.metrics.get("share_built"):
        yield BUILT
    if result.benchmark == "natural_plan" and any(
        not sample.id.startswith(OFFICIAL_PUZZLES) for sample in result.samples
    ):
        yield "generated puzzles, not the official ones"
    options = result.settings.get("options") or {}
    if options.get("user") == "scripted":
        yield "the user is scripted, not a model"
    if result.benchmark == "worfbench":
        mode, embedding = result.settings.get("mode"), result.settings.get("embedding")
        if mode is None or embedding is None:
            yield "nothing tells by which mode and embedding it was scored"
        elif mode != "official":
            yield "scored without the official evaluator's mistakes"
        if embedding is not None and not embedding.endswith(OFFICIAL_EMBEDDING):
            yield "nodes compared by another embedding model"
    if unjudged := result.metrics.get("num_needing_judge"):
        yield f"verdicts that leave out what a judge must tell: {unjudged:,.0f}"
    if result.errors:
        yield f"samples without an answer are left out: {len(result.errors):,}"
