"""Numbers for the page's charts, and the rows that its browser shows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2

from data_synth.report.counts import MEASURES, Counts, Domain
from data_synth.report.histogram import Histogram

MOST_ROWS, MOST_CHARS = 200, 2_000_000
"""Rows and characters of JSON that the browser of rows embeds."""
MOST_BARS = 40


@dataclass(frozen=True)
class Strip:
    """One series of a distribution: heights in percent of its highest bin, and each bin's tooltip."""

    name: str
    colour: int
    mean: float
    bars: list[tuple[float, str]]


@dataclass(frozen=True)
class Distribution:
    """Histograms of one measure over one axis from ``low`` to ``high``."""

    title: str
    strips: list[Strip]
    low: int
    high: int


@dataclass(frozen=True)
class Bars:
    """Counts by label, stacked by series: ``parts`` are (series, colour, percent of the longest bar, count)."""

    title: str
    rows: list[tuple[str, int, list[tuple[str, int, float, int]]]]
    num_hidden: int


def series_of(counts: Counts) -> dict[str, list[Domain]]:
    """What charts tell apart: tasks, or the subtasks of a run of one task."""
    groups: dict[str, list[Domain]] = {}
    tasks = {name.split("/")[0] for name in counts.domains}
    for name, domain in counts.domains.items():
        groups.setdefault(name.split("/")[0] if len(tasks) > 1 else name, []).append(domain)
    return groups


def distributions(series: Mapping[str, list[Domain]]) -> list[Distribution]:
    """A distribution for each measure that rows differ in."""
    found = []
    for measure, title in MEASURES.items():
        histograms = {
            name: merged([domain.measures[measure] for domain in group]) for name, group in series.items()
        }
        filled = {name: histogram for name, histogram in histograms.items() if histogram.num_values}
        if len({limit for histogram in filled.values() for limit in (histogram.low, histogram.high)}) > 1:
            colours = {name: number for number, name in enumerate(series)}
            found.append(_distribution(title, filled, colours))
    return found


def merged(histograms: list[Histogram]) -> Histogram:
    """One histogram of all values, in bins of the widest."""
    filled = [histogram for histogram in histograms if histogram.num_values]
    whole = Histogram(width=max((histogram.width for histogram in filled), default=1))
    if not filled:
        return whole
    whole.num_values = sum(histogram.num_values for histogram in filled)
    whole.total = sum(histogram.total for histogram in filled)
    whole.low = min(histogram.low for histogram in filled)
    whole.high = max(histogram.high for histogram in filled)
    for histogram in filled:
        for place, count in histogram.bins.items():
            whole.bins[place * histogram.width // whole.width] += count
    return whole


def _distribution(title: str, histograms: dict[str, Histogram], colours: Mapping[str, int]) -> Distribution:
    whole = merged(list(histograms.values()))
    first, last = whole.low // whole.width, whole.high // whole.width
    while last - first >= 2 * 48:
        whole.width *= 2
        first, last = whole.low // whole.width, whole.high // whole.width
    strips = []
    for name, histogram in histograms.items():
        bins = Counter[int]()
        for place, count in histogram.bins.items():
            bins[place * histogram.width // whole.width] += count
        most = max(bins.values())
        bars = [
            (round(100 * bins[place] / most, 1), _bin_title(place, whole.width, bins[place]))
            for place in range(first, last + 1)
        ]
        strips.append(Strip(name, colours[name], round(histogram.mean, 1), bars))
    return Distribution(title, strips, first * whole.width, (last + 1) * whole.width - 1)


def _bin_title(place: int, width: int, count: int) -> str:
    values = str(place) if width == 1 else f"{place * width}–{(place + 1) * width - 1}"
    return f"{values}: {count}"


def bars(title: str, counters: Mapping[str, Counter[str]]) -> Bars | None:
    """The labels with the highest totals; None where nothing is counted."""
    totals = Counter[str]()
    for counter in counters.values():
        totals.update(counter)
    if not totals:
        return None
    ranked = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    longest = ranked[0][1]
    rows = []
    for label, total in ranked[:MOST_BARS]:
        parts = [
            (name, colour, round(100 * counter[label] / longest, 2), counter[label])
            for colour, (name, counter) in enumerate(counters.items())
            if counter[label]
        ]
        rows.append((label, total, parts))
    return Bars(title, rows, max(0, len(ranked) - MOST_BARS))


def sum_of(group: list[Domain], name: str) -> Counter[str]:
    """The counters ``name`` of a series' domains, added up."""
    total = Counter[str]()
    for domain in group:
        total.update(getattr(domain, name))
    return total


def browsed_rows(counts: Counts) -> list[dict[str, Any]]:
    """At most ``MOST_ROWS`` rows, as many of each domain, fewer where they are long."""
    domains = [domain for domain in counts.domains.values() if domain.rows]
    shares = [domain.sample.take(-(-MOST_ROWS // max(len(domains), 1))) for domain in domains]
    chosen, num_chars = list[tuple[int, int, dict[str, Any]]](), 0
    for turn in range(max(map(len, shares), default=0)):
        for number, share in enumerate(shares):
            if turn < len(share) and len(chosen) < MOST_ROWS and num_chars < MOST_CHARS:
                row = _shown(json.loads(share[turn]))
                num_chars += len(json.dumps(row, ensure_ascii=False))
                chosen.append((number, turn, row))
    return [row for _, _, row in sorted(chosen, key=lambda item: item[:2])]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose tools are told by name and description; their schemas are long and alike."""
    tools = [tool.get("function", tool) for tool in row["tools"]]
    short = [{"name": tool["name"], "description": tool.get("description", "")} for tool in tools]
    return {**row, "tools": short}


def embedded(value: Any) -> str:
    """JSON that can stand in a ``<script>`` element: no text in it can end the element or begin a comment."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def render(template: str, **variables: Any) -> str:
    """A page of this package, everything in it escaped."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(
            lambda name: resources.files(__package__).joinpath(name).read_text("utf-8")
        ),
    )
    return environment.get_template(template).render(**variables)
