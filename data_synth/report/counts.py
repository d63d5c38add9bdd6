"""One pass over the rows and the rejected lines: all that the report, the manifest and the card say of them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from data_synth.report.calls import called_tools, links, offered_tools
from data_synth.report.histogram import EvenSample, Histogram

SAMPLE_PER_DOMAIN = 128
MEASURES = {
    "prompt_chars": "Characters before the first answer",
    "answer_chars": "Characters of all answers",
    "questions": "Messages of the user",
    "answers": "Messages of the assistant",
    "calls": "Tool calls of the gold answer",
    "offered": "Tools offered",
    "size": "Size: people, cities or steps",
    "nodes": "Difficulty: search nodes to prove the solution unique",
}
"""Key to title, in the report's order. A measure that is absent, or the same in every row, is not shown."""


@dataclass(slots=True)
class Domain:
    """What is counted for one ``<task>/<subtask>``.

    Attributes:
        repeated: rows whose instance an earlier row had.
        confirmed: rows whose certificate CP-SAT confirmed; None where no row has one.
    """

    rows: int = 0
    repeated: int = 0
    confirmed: int | None = None
    languages: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    operators: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    measures: dict[str, Histogram] = field(default_factory=lambda: {name: Histogram() for name in MEASURES})
    sample: EvenSample[bytes] = field(default_factory=lambda: EvenSample(SAMPLE_PER_DOMAIN))

    @property
    def num_rejected(self) -> int:
        return self.rejected.total()


@dataclass(slots=True)
class Counts:
    """What is counted over all rows.

    Attributes:
        called: rows that call each tool.
        offered: tools that stood in any row.
        links: rows in which the second tool needs the first.
        sources: rows by (source, licence), of tasks whose rows follow one.
    """

    domains: dict[str, Domain] = field(default_factory=lambda: defaultdict(Domain))
    called: Counter[str] = field(default_factory=Counter)
    offered: set[str] = field(default_factory=set)
    links: Counter[tuple[str, str]] = field(default_factory=Counter)
    generators: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    sources: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def num_rows(self) -> int:
        return sum(domain.rows for domain in self.domains.values())

    @property
    def num_rejected(self) -> int:
        return sum(domain.num_rejected for domain in self.domains.values())


def count(data: Path, rejected: Path) -> Counts:
    """Read both files once, a line at a time."""
    counts, seen = Counts(), set[str]()
    with data.open("rb") as lines:
        for line in lines:
            row = json.loads(line)
            domain = counts.domains[f"{row['task']}/{row['subtask']}"]
            instance = row["meta"]["instance"]
            domain.repeated += instance in seen
            seen.add(instance)
            domain.sample.add(line)
            _count_row(counts, domain, row)
    with rejected.open("rb") as lines:
        for line in lines:
            record = json.loads(line)
            counts.domains[record["domain"]].rejected[record["reason"]] += 1
    return counts


def _count_row(counts: Counts, domain: Domain, row: dict[str, Any]) -> None:
    meta = row["meta"]
    called, certificate = called_tools(row), meta.get("certificate") or {}
    domain.rows += 1
    domain.languages[meta["language"]] += 1
    domain.splits[meta["split"]] += 1
    domain.operators.update(sorted(set(meta.get("operators", ()))))
    if "cp_sat_confirmed" in certificate:
        domain.confirmed = (domain.confirmed or 0) + bool(certificate["cp_sat_confirmed"])
    for name, value in _measures(row, len(called), certificate):
        domain.measures[name].add(value)
    counts.called.update(sorted(set(called)))
    counts.offered.update(offered_tools(row))
    counts.links.update(sorted(set(links(row))))
    counts.generators[meta["generator"]] += 1
    if meta.get("model"):
        counts.models[meta["model"]] += 1
    if meta.get("source"):
        counts.sources[meta["source"], meta.get("licence", "")] += 1


def _measures(row: dict[str, Any], num_calls: int, certificate: dict[str, Any]) -> Iterator[tuple[str, int]]:
    messages = row["messages"]
    roles = Counter(message["role"] for message in messages)
    prompt = takewhile(lambda message: message["role"] != "assistant", messages)
    answers = (message for message in messages if message["role"] == "assistant")
    yield "prompt_chars", sum(_num_chars(message) for message in prompt)
    yield "answer_chars", sum(_num_chars(message) for message in answers)
    yield "questions", roles["user"]
    yield "answers", roles["assistant"]
    yield "calls", num_calls
    yield "offered", len(row["tools"])
    if isinstance(row["meta"].get("size"), int):
        yield "size", row["meta"]["size"]
    if isinstance(certificate.get("nodes"), int):
        yield "nodes", certificate["nodes"]


def _num_chars(message: dict[str, Any]) -> int:
    return len(message["content"] or "") + len(message.get("reasoning_content") or "")
