"""What a run made: ``report.html`` and the counts in ``manifest.json``, both from its files alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from data_synth.report import page
from data_synth.report.counts import Counts, Domain, count
from data_synth.report.graph import draw
from data_synth.report.tools import domains_of, sources, tools_of_run


def write_summary(data: Path, rejected: Path, report: Path) -> dict[str, Any]:
    """Count the rows, write ``report`` and return the counts for the manifest."""
    counts = count(data, rejected)
    series = page.series_of(counts)
    tools = tools_of_run(data.parent) if counts.offered else {}
    linked = {name for pair in counts.links for name in pair}
    domains = domains_of({*counts.called, *linked}, tools)
    text = page.render(
        "page.html.j2",
        counts=counts,
        series=list(series),
        reasons=sorted({reason for domain in counts.domains.values() for reason in domain.rejected}),
        distributions=page.distributions(series),
        charts=[
            chart
            for chart in (
                page.bars(title, {name: page.sum_of(group, key) for name, group in series.items()})
                for title, key in (
                    ("Operators: rows that each shaped", "operators"),
                    ("Languages", "languages"),
                    ("Rejected attempts by reason", "rejected"),
                )
            )
            if chart
        ],
        tool_chart=page.bars("Tools: rows that call each", {"rows": counts.called}),
        domain_chart=page.bars(
            "Domains: different tools called", {"tools": Counter(domains[name] for name in counts.called)}
        ),
        num_tools=len(tools),
        picture=draw(counts.called, counts.links, domains),
        rows=page.embedded(page.browsed_rows(counts)),
    )
    partial = report.with_suffix(report.suffix + ".partial")
    partial.write_text(text, "utf-8")
    partial.replace(report)
    return _manifest(counts, sources(counts.offered, tools))


def _manifest(counts: Counts, tool_sources: list[dict[str, Any]]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "num_rows": counts.num_rows,
        "num_rejected": counts.num_rejected,
        "domains": {name: _domain_entry(domain) for name, domain in counts.domains.items()},
        "generators": dict(sorted(counts.generators.items())),
    }
    if counts.models:
        said["models"] = dict(sorted(counts.models.items()))
    if counts.sources:
        said["sources"] = [
            {"source": source, "licence": licence, "num_rows": count}
            for (source, licence), count in sorted(counts.sources.items())
        ]
    if counts.offered:
        said["tools"] = {
            "num_offered": len(counts.offered),
            "num_called": len(counts.called),
            "sources": tool_sources,
        }
    return said


def _domain_entry(domain: Domain) -> dict[str, Any]:
    entry: dict[str, Any] = {"num_rows": domain.rows, "num_repeated": domain.repeated}
    if domain.confirmed is not None:
        entry["num_confirmed_by_cp_sat"] = domain.confirmed
    if domain.operators:
        entry["operators"] = dict(sorted(domain.operators.items()))
    return {
        **entry,
        "languages": dict(sorted(domain.languages.items())),
        "splits": dict(sorted(domain.splits.items())),
        "rejected": dict(sorted(domain.rejected.items())),
    }
