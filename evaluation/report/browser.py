"""The samples that the page embeds, for its browser: texts once, cut to a length, in few bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.asked import Asked
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
            *_asked(result, sample.id, sample.trial, sources, texts),
            texts.number(shown(sample.model_extra)) if sample.model_extra else -1,
        ]
    for error in result.errors if result.benchmark != EFFICIENCY else []:
        name, trial, why = str(error.get("id")), error.get("trial", 0), texts.number(str(error.get("error")))
        yield [name, trial, 3, {}, why, -1, *_asked(result, name, trial, sources, texts), -1]


def _asked(result: Result, name: str, trial: int, sources: Sources, texts: _Texts) -> tuple[int, int]:
    """Numbers of prompt and gold: the run's own, else the data's."""
    source = sources.get((result.benchmark, result.language or "", name))
    asked, gold = result.dialogues.get((name, trial)), result.golds.get(name)
    prompt = _written(asked) if asked else source.prompt if source else None
    solution = shown(gold) if gold is not None else source.gold if source else None
    return texts.number(prompt), texts.number(solution)


def _written(asked: Asked) -> str:
    """A request as a text: the tools, then who said what; what has one message only stands alone."""
    tools = [json.dumps(tool, ensure_ascii=False) for tool in asked.tools]
    if not tools and len(asked.messages) == 1:
        return str(asked.messages[0].get("content"))
    said = [f"[{message.get('role')}]\n{_said(message)}" for message in asked.messages]
    return "\n\n".join([*(["[tools]\n" + "\n".join(tools)] if tools else []), *said])


def _said(message: Mapping[str, Any]) -> str:
    calls = message.get("tool_calls")
    parts = [message.get("content"), json.dumps(calls, ensure_ascii=False) if calls else None]
    return "\n".join(str(part) for part in parts if part)


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
