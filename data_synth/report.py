"""What a run made: ``report.html`` and the counts in ``manifest.json``, both from its files alone."""

from __future__ import annotations

import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import matplotlib

NUM_EXAMPLES = 10
NUM_BINS = 30
COLOURS = ("#2f6fde", "#e07b39", "#3a9d6e", "#8e5bbf", "#c23b5a", "#6b7280")


@dataclass(slots=True)
class Domain:
    """What is counted for one ``<task>/<subtask>``."""

    rows: int = 0
    repeated: int = 0
    confirmed: int = 0
    prompt_chars: list[int] = field(default_factory=list)
    answer_chars: list[int] = field(default_factory=list)
    sizes: Counter[int] = field(default_factory=Counter)
    nodes: list[int] = field(default_factory=list)
    languages: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)


def write_summary(data: Path, rejected: Path, report: Path) -> dict[str, Any]:
    """Count the rows, write ``report`` and return the counts for the manifest."""
    domains, examples = _count(data, rejected)
    template = resources.files(__package__).joinpath("report.html.j2").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(template).render(
        domains=domains,
        reasons=sorted({reason for domain in domains.values() for reason in domain.rejected}),
        num_rows=sum(domain.rows for domain in domains.values()),
        num_rejected=sum(domain.rejected.total() for domain in domains.values()),
        num_confirmed=sum(domain.confirmed for domain in domains.values()),
        plots=_plots(domains),
        examples=examples,
    )
    partial = report.with_suffix(report.suffix + ".partial")
    partial.write_text(page, "utf-8")
    partial.replace(report)
    return {
        "num_rows": sum(domain.rows for domain in domains.values()),
        "num_rejected": sum(domain.rejected.total() for domain in domains.values()),
        "domains": {
            name: {
                "num_rows": domain.rows,
                "num_repeated": domain.repeated,
                "num_confirmed_by_cp_sat": domain.confirmed,
                "languages": dict(sorted(domain.languages.items())),
                "splits": dict(sorted(domain.splits.items())),
                "rejected": dict(sorted(domain.rejected.items())),
            }
            for name, domain in domains.items()
        },
    }


def _count(data: Path, rejected: Path) -> tuple[dict[str, Domain], list[dict[str, Any]]]:
    domains: dict[str, Domain] = defaultdict(Domain)
    seen: set[str] = set()
    rows = sum(1 for _ in data.open("rb"))
    shown = {min(k * rows // NUM_EXAMPLES + k, rows - 1) for k in range(NUM_EXAMPLES)}
    examples = []
    for index, row in enumerate(_records(data)):
        domain = domains[f"{row['task']}/{row['subtask']}"]
        meta, messages = row["meta"], row["messages"]
        domain.rows += 1
        domain.repeated += meta["instance"] in seen
        seen.add(meta["instance"])
        domain.confirmed += meta["certificate"]["cp_sat_confirmed"]
        domain.prompt_chars.append(len(messages[0]["content"]))
        domain.answer_chars.append(len(messages[-1]["content"]))
        domain.sizes[meta["size"]] += 1
        domain.nodes.append(meta["certificate"]["nodes"])
        domain.languages[meta["language"]] += 1
        domain.splits[meta["split"]] += 1
        if index in shown:
            examples.append(row)
    for record in _records(rejected):
        domains[record["domain"]].rejected[record["reason"]] += 1
    return dict(domains), examples


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as lines:
        yield from map(json.loads, lines)


def _plots(domains: dict[str, Domain]) -> list[dict[str, str]]:
    """Plots as inline SVG, the same bytes for the same counts."""
    series = list(domains.items())
    plots = [
        _histogram("Length of prompts (characters)", {n: d.prompt_chars for n, d in series}),
        _histogram("Length of answers (characters)", {n: d.answer_chars for n, d in series}),
        _histogram("Difficulty: search nodes to prove the solution unique", {n: d.nodes for n, d in series}),
        _bars("Size: people, friends or cities", {n: d.sizes for n, d in series}),
    ]
    reasons: dict[str, Counter[Any]] = {name: domain.rejected for name, domain in series}
    if any(reasons.values()):
        plots.append(_bars("Rejected attempts by reason", reasons))
    return plots


def _histogram(title: str, values: dict[str, list[int]]) -> dict[str, str]:
    everything = [value for listed in values.values() for value in listed]
    low, high = min(everything), max(everything)
    width = max(1, -(-(high - low + 1) // NUM_BINS))
    edges = [low + width * i for i in range((high - low) // width + 2)]
    figure, axes = _figure()
    for colour, (name, listed) in zip(COLOURS, values.items(), strict=False):
        axes.hist(listed, bins=edges, alpha=0.6, label=name, color=colour)
    axes.set_ylabel("rows")
    axes.legend(frameon=False)
    return {"title": title, "svg": _svg(figure)}


def _bars(title: str, counts: dict[str, Counter[Any]]) -> dict[str, str]:
    labels = sorted({label for counter in counts.values() for label in counter})
    figure, axes = _figure()
    width = 0.8 / len(counts)
    for number, (colour, (name, counter)) in enumerate(zip(COLOURS, counts.items(), strict=False)):
        places = [place + (number - (len(counts) - 1) / 2) * width for place in range(len(labels))]
        axes.bar(places, [counter[label] for label in labels], width, label=name, color=colour)
    axes.set_xticks(range(len(labels)), [str(label) for label in labels])
    axes.legend(frameon=False)
    return {"title": title, "svg": _svg(figure)}


def _figure() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.0), layout="constrained")
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
