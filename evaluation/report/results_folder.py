"""Find and read every ``results.json`` of a run: of one benchmark, of a suite, of before and after training."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from evaluation.asked import Asked, replay
from evaluation.jsonl import read_finished_lines, read_text
from recipes.command import InputError

DEPTHS = ("results.json", "*/results.json", "*/*/results.json", "*/*/*/results.json")
"""A run's own, a benchmark's, a subtask's or language's, both."""
STAGES = {"eval_before": "before training", "eval_after": "after training"}
EFFICIENCY = "efficiency"


class Sample(BaseModel):
    """A line of ``per_sample``; what a benchmark adds is in ``model_extra``."""

    model_config = ConfigDict(extra="allow")

    id: str
    score: float | dict[str, float]
    reason: str
    trial: int = 0

    @property
    def figures(self) -> Mapping[str, float]:
        """The score by name; a plain one has the name ``score``."""
        return self.score if isinstance(self.score, dict) else {"score": self.score}


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow")

    benchmark: str
    subtask: str | None = None
    language: str | None = None
    metrics: dict[str, float]
    num_samples: int
    groups: list[dict[str, Any]] = []
    per_sample: list[Sample] = []
    errors: list[dict[str, Any]] = []
    levels: list[dict[str, Any]] = []
    mode: str | None = None
    embedding: str | None = None
    options: dict[str, Any] = {}


@dataclass(frozen=True)
class Result:
    """One ``results.json`` with what lies beside it.

    Attributes:
        part: subtask and language; None where the benchmark was run whole.
        settings: what decided the answers, unknown where predictions of another origin were scored, and the verdicts.
        predictions: in the order of ``samples``, empty where they lie elsewhere.
        dialogues: of each sample and trial, what was asked last of the model.
        golds: what is right, by id.
    """

    benchmark: str
    part: str | None
    language: str | None
    folder: Path
    metrics: dict[str, float]
    groups: list[dict[str, Any]]
    samples: list[Sample] = field(repr=False)
    errors: list[dict[str, Any]] = field(repr=False)
    levels: list[dict[str, Any]] = field(repr=False)
    settings: dict[str, Any] = field(repr=False)
    predictions: list[Any] = field(repr=False)
    dialogues: Mapping[tuple[str, int], Asked] = field(repr=False)
    golds: Mapping[str, Any] = field(repr=False)

    @property
    def title(self) -> str:
        """For people: ``natural_plan trip``."""
        return " ".join(filter(None, (self.benchmark, self.part)))

    @cached_property
    def group_of(self) -> dict[str, str]:
        """The group of each id, where the ids or the samples' own fields tell it beyond doubt, else empty.

        A way of telling counts only if it gives every group of the results its number of samples.
        """
        sizes = Counter({str(group["group"]): group["num_samples"] for group in self.groups})
        for tell in _TELLING:
            told = [tell(sample) for sample in self.samples]
            if sizes and Counter(told) == sizes:
                return {sample.id: name for sample, name in zip(self.samples, told, strict=True)}
        return {}


@dataclass(frozen=True)
class Entrant:
    """What is compared: one model as one run evaluated it.

    Attributes:
        validation: of a model that RL trains, its success at each evaluation, by ``<environment>/<split>/<sampling>``.
    """

    name: str
    results: list[Result]
    validation: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def find(self, benchmark: str) -> Iterator[Result]:
        """The results of one benchmark."""
        return (result for result in self.results if result.benchmark == benchmark)

    @property
    def levels(self) -> list[dict[str, Any]]:
        """Of its measurement of efficiency; empty without one."""
        return [level for result in self.find(EFFICIENCY) for level in result.levels]


_TELLING: Sequence[Callable[[Sample], str]] = (
    lambda sample: str((sample.model_extra or {}).get("group")),
    lambda sample: str((sample.model_extra or {}).get("category")),
    lambda sample: (
        str((sample.model_extra or {}).get("task_type"))
        + (" (built)" if (sample.model_extra or {}).get("built") else "")
    ),
    lambda sample: sample.id.partition("/")[0],
    lambda sample: re.sub(r"[_\d#-]+$", "", sample.id),
)


def read_entrants(path: Path) -> list[Entrant]:
    """The entrants of a run folder: before and after training, and all other results together.

    Raises:
        InputError: a file that isn't what evaluation writes.
    """
    found: dict[str, list[Result]] = {}
    for depth in DEPTHS:
        for file in sorted(path.glob(depth)):
            stage = STAGES.get(file.relative_to(path).parts[0], "")
            found.setdefault(stage, []).append(_read(file))
    order = sorted(found, key=lambda stage: list(STAGES.values()).index(stage) if stage else -1)
    return [Entrant(" ".join(filter(None, (path.name, stage))), found[stage]) for stage in order]


def _read(file: Path) -> Result:
    try:
        record = _Record.model_validate(_whole_characters(json.loads(read_text("runs", str(file)))))
    except (JSONDecodeError, RecursionError):
        raise InputError(f"runs={file}: no JSON; run its evaluation again") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"runs={file}: {place}: {first['msg']}; run its evaluation again") from None
    parts = [part for part in (record.subtask, record.language) if part]
    return Result(
        benchmark=record.benchmark,
        part=" ".join(parts) or None,
        language=record.language,
        folder=file.parent,
        metrics=record.metrics,
        groups=record.groups,
        samples=record.per_sample,
        errors=record.errors,
        levels=record.levels,
        settings=_settings(file.with_name("settings.json"))
        | record.model_dump(include={"mode", "embedding", "options"}, exclude_unset=True),
        predictions=_predictions(file.with_name("predictions.jsonl"), record.per_sample),
        dialogues=_dialogues(file.with_name("requests.jsonl")),
        golds={
            str(line.get("id")): line.get("gold")
            for line in read_finished_lines("runs", file.with_name("gold.jsonl"))
        },
    )


def _whole_characters(value: Any) -> Any:
    """``value`` with U+FFFD for every half of a surrogate pair, which a model may send and pydantic refuses."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_whole_characters(key): _whole_characters(item) for key, item in value.items()}
    return [_whole_characters(item) for item in value] if isinstance(value, list) else value


def _predictions(path: Path, samples: Sequence[Sample]) -> list[Any]:
    """One per sample, None for a sample without; empty if the file isn't theirs."""
    lines = list(read_finished_lines("runs", path))
    if [line.get("id") for line in lines] == [sample.id for sample in samples]:
        return [line.get("prediction") for line in lines]
    by_key = {(line.get("id"), line.get("trial", 0)): line.get("prediction") for line in lines}
    return [by_key.get((sample.id, sample.trial)) for sample in samples] if lines else []


def _settings(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        settings = json.loads(read_text("runs", str(path)))
    except (JSONDecodeError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise InputError(f"runs={path}: no JSON object; run its evaluation again")
    return settings


def _dialogues(path: Path) -> dict[tuple[str, int], Asked]:
    """The model's last request of each sample and trial; none of a run that didn't keep what it asked."""
    news: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for line in sorted(read_finished_lines("runs", path), key=lambda line: line.get("index", 0)):
        if line.get("role") == "agent" and "asked" in line:
            news.setdefault((str(line.get("id")), line.get("trial", 0)), []).append(line["asked"])
    return {key: replay(each) for key, each in news.items()}
