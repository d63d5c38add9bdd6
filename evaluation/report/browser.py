"""The samples that the page embeds, for its browser: texts once, cut to a length, in few bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.report.results_folder import EFFICIENCY, Entrant, Result, Sample
from evaluation.report.sources import Sources


@dataclass(frozen=True)
class BrowserLimits:
    """``browser`` of ``recipes/report.yaml``."""

    max_samples: int
    max_characters: int


class _Texts:
    """Texts by number, each once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._numbers: dict[str, int] = {}
        self.texts: list[str] = []

    def number(self, text: str | None) -> int:
        """-1 for no text."""
        if text is None:
            return -1
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(_cut(text, self._most))
        return self._numbers[text]


def browsed(entrants: Sequence[Entrant], sources: Sequence[Sources], limits: BrowserLimits) -> dict[str, Any]:
    """What ``browser.js.j2`` reads.

    ``samples``: rows of entrant, part, id, trial, verdict (0 wrong, 1 right, 2 in between, 3 no answer), scores, and
    the numbers in ``texts`` of reason, prediction, prompt, gold and details. Of each part the first ``max_samples``.

    Args:
        sources: one per entrant.
    """
    texts = _Texts(limits.max_characters)
    parts = sorted({result.title for entrant in entrants for result in entrant.results})
    rows: list[list[Any]] = []
    num_left_out = 0
    for number, (entrant, own) in enumerate(zip(entrants, sources, strict=True)):
        for result in entrant.results:
            lines = [[number, parts.index(result.title), *line] for line in _lines(result, own, texts)]
            rows += lines[: limits.max_samples]
            num_left_out += len(lines[limits.max_samples :])
    return {
        "entrants": [entrant.name for entrant in entrants],
        "parts": parts,
        "samples": rows,
        "texts": texts.texts,
        "left_out": num_left_out,
    }


def _lines(result: Result, sources: Sources, texts: _Texts) -> Iterator[list[Any]]:
    predictions = result.predictions or [None] * len(result.samples)
    for sample, prediction in zip(result.samples, predictions, strict=True):
        yield [
            sample.id,
            sample.trial,
            _verdict(sample),
            {name: round(score, 4) for name, score in sample.figures.items()},
            texts.number(sample.reason),
            texts.number(shown(prediction)) if result.predictions else -1,
            *_asked(result, sample.id, sources, texts),
            texts.number(shown(sample.model_extra)) if sample.model_extra else -1,
        ]
    for error in result.errors if result.benchmark != EFFICIENCY else []:
        name, why = str(error.get("id")), texts.number(str(error.get("error")))
        yield [name, error.get("trial", 0), 3, {}, why, -1, *_asked(result, name, sources, texts), -1]


def _asked(result: Result, name: str, sources: Sources, texts: _Texts) -> tuple[int, int]:
    """Numbers of prompt and gold."""
    source = sources.get((result.benchmark, result.language or "", name))
    return (-1, -1) if source is None else (texts.number(source.prompt), texts.number(source.gold))


def _cut(text: str, most: int) -> str:
    """Beginning and end of a long text: the question of a prompt with examples is at its end."""
    if len(text) <= most:
        return text
    head, tail = most - most // 2, most // 2
    return f"{text[:head]}\n[… {len(text) - most:,} characters …]\n{text[len(text) - tail :]}"


def _verdict(sample: Sample) -> int:
    scores = set(sample.figures.values())
    return 1 if scores == {1} else 0 if scores == {0} else 2


def shown(value: Any) -> str:
    """A text as it is, anything else as JSON that a person can read."""
    if isinstance(value, str):
        return value
    return "(nothing)" if value is None else json.dumps(value, ensure_ascii=False, indent=1)


def embedded(value: Any) -> str:
    """JSON that can stand in a ``<script>`` element: no text in it can end the element or begin a comment."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
