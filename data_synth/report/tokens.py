"""``train_report.html``: the tokens of some rows of each domain, coloured by whether they are learned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from data_synth.report.page import render
from data_synth.writers.masking import IGNORED, ChatEncoder, Document
from data_synth.writers.rows import Row

REPORT = "train_report.html"


@dataclass(frozen=True)
class Shown:
    """A document: what heads it, and its tokens as (characters, learned); the end of a character has none."""

    title: str
    detail: str
    pieces: list[tuple[str, bool]]


def write_token_report(folder: Path, rows: Iterable[Row], encoder: ChatEncoder) -> None:
    """Write the page into ``folder``; of a row's documents it has the first and the last.

    Args:
        rows: in the order of the page.
    """
    domains = dict[str, list[Shown]]()
    for row in rows:
        documents = encoder.encode([row])[0]
        for number in sorted({1, len(documents)}):
            document = documents[number - 1]
            part = f" · document {number} of {len(documents)}" if len(documents) > 1 else ""
            domains.setdefault(row.domain, []).append(_shown(row.id + part, document))
    (folder / REPORT).write_text(render("tokens.html.j2", domains=dict(sorted(domains.items()))), "utf-8")


def _shown(title: str, document: Document) -> Shown:
    text, learned = document.source.text, (document.labels != IGNORED).tolist()
    bounds = [*document.starts.tolist(), len(text)]
    pieces = [(text[start:end], on) for (start, end), on in zip(pairwise(bounds), learned, strict=True)]
    num_tokens = len(learned)
    turns = ", ".join(str(turn + 1) for turn in document.source.turns)
    detail = (
        f"{num_tokens:,} tokens, {sum(learned):,} learned ({sum(learned) / num_tokens:.0%}); answers {turns}"
    )
    return Shown(title, detail, pieces)
