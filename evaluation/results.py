"""Predictions in, ``results.json`` out: the part that every benchmark and both commands share."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.benchmarks import Benchmark, Judged, Verdict
from evaluation.jsonl import encode, read_lines, read_text, replace, write_lines
from evaluation.packages import WorkerError
from recipes.command import InputError

NO_TEXT = Verdict(0.0, "no text")


@dataclass(frozen=True)
class Prediction:
    """A line of ``predictions.jsonl``. ``value``: a JSON value, None where there is nothing to judge."""

    id: str
    value: Any
    trial: int | None = None

    @property
    def line(self) -> dict[str, Any]:
        """As it is written: ``trial`` only where samples were tried several times."""
        return {"id": self.id, **self.which_trial, "prediction": self.value}

    @property
    def which_trial(self) -> dict[str, int]:
        """The key ``trial``, or none."""
        return {} if self.trial is None else {"trial": self.trial}


def read_predictions(path: str, ids: Iterable[str]) -> list[Prediction]:
    """The prediction of each line, in order; an id may occur several times.

    Raises:
        InputError: no such file, no line in it, a malformed line, one without id or prediction, or an id that
            the data doesn't have.
    """
    known = set(ids)
    predictions = []
    for number, line in read_lines("predictions", path, read_text("predictions", path)):
        sample_id, trial = line.get("id"), line.get("trial")
        if not isinstance(sample_id, str) or "prediction" not in line:
            raise InputError(
                f'predictions={path}: line {number} must be {{"id": text, "prediction": …}}; correct it'
            )
        if sample_id not in known:
            raise InputError(
                f"predictions={path}: line {number}: id {sample_id} isn't in the data; check data and subtask"
            )
        predictions.append(Prediction(sample_id, line["prediction"], trial if type(trial) is int else None))
    if not predictions:
        raise InputError(f"predictions={path}: no prediction in it; give at least one line")
    return predictions


def judge(benchmark: Benchmark, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """``metrics``, ``num_samples``, ``groups`` and ``per_sample`` of ``results.json``.

    ``groups`` breaks the metrics down as the benchmark does, ``per_sample`` has a line per prediction.
    A prediction that is null scores 0. Without predictions the metrics are empty: nothing was measured.
    A benchmark that has ``prepare`` gets all (id, prediction) before it scores them one by one.
    """
    prepare = getattr(benchmark, "prepare", None)
    if prepare:
        prepare([(one.id, one.value) for one in predictions if one.value is not None])
    judged = [
        Judged(one.id, NO_TEXT if one.value is None else benchmark.score(one.id, one.value), trial)
        for one, trial in zip(predictions, _trials(predictions), strict=True)
    ]
    grouped: dict[str, list[Judged]] = {}
    for one in judged:
        grouped.setdefault(benchmark.group(one.id), []).append(one)
    return {
        "metrics": benchmark.metrics(judged) if judged else {},
        "num_samples": len(judged),
        "groups": [
            {"group": group, "num_samples": len(members), **benchmark.metrics(members)}
            for group, members in sorted(grouped.items(), key=lambda item: _natural(item[0]))
        ],
        "per_sample": [
            _sample_line(one, judgement.verdict) for one, judgement in zip(predictions, judged, strict=True)
        ],
    }


def _trials(predictions: Sequence[Prediction]) -> Iterator[int]:
    """The trial of each; where none is given, how often its id came before."""
    times: Counter[str] = Counter()
    for one in predictions:
        yield times[one.id] if one.trial is None else one.trial
        times[one.id] += 1


def _sample_line(one: Prediction, verdict: Verdict) -> dict[str, Any]:
    score = dict(verdict.score) if isinstance(verdict.score, Mapping) else verdict.score
    line = {"id": one.id, **one.which_trial, "score": score, "reason": verdict.reason}
    assert not line.keys() & verdict.details.keys(), "a detail must not hide what every sample has"
    return {**line, **verdict.details}


def write_results(output_dir: Path, results: dict[str, Any]) -> None:
    """Replace ``results.json`` in the folder ``output_dir`` in one step."""
    replace(output_dir / "results.json", encode(results, indent=1) + b"\n")


def write_gold(output_dir: Path, benchmark: Benchmark, ids: Iterable[str]) -> None:
    """Replace ``gold.jsonl`` in the folder: ``{"id", "gold"}`` of each id for which the benchmark can say it.

    A checker's process that crashes or hangs ends it with a warning: nothing is judged by this file.
    """
    path, lines = output_dir / "gold.jsonl", []
    try:
        for sample_id in dict.fromkeys(ids):
            if (gold := benchmark.gold(sample_id)) is not None:
                lines.append({"id": sample_id, "gold": gold})
    except WorkerError as error:
        print(f"warning: {path} has {len(lines)} golds only ({error})", file=sys.stderr)
    write_lines(path, lines)


def headline(results: dict[str, Any]) -> str:
    """One line for the terminal."""
    figures = ", ".join(f"{name} {_figure(value)}" for name, value in results["metrics"].items())
    name = " ".join(filter(None, (results["benchmark"], results["subtask"], results["language"])))
    return f"{name}: {figures or 'nothing scored'} over {results['num_samples']} samples"


def _figure(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort key under which "10 people" follows "9 people"."""
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in text.split()]
