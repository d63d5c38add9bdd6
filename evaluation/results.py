"""Predictions in, ``results.json`` out: the part that every benchmark and both commands share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from evaluation.benchmarks import Benchmark, Verdict
from evaluation.jsonl import encode, read_lines, read_text, replace
from recipes.command import InputError

Prediction = tuple[str, str | None]
"""(id, text); None where there is no text to judge."""
NO_TEXT = Verdict(0.0, "no text")


def read_predictions(path: str, ids: Iterable[str]) -> list[Prediction]:
    """(id, prediction) of each line, in order; an id may occur several times.

    Raises:
        InputError: no such file, no line in it, a malformed line, one without id or prediction, or an id that
            the data doesn't have.
    """
    known = set(ids)
    predictions = []
    for number, line in read_lines("predictions", path, read_text("predictions", path)):
        sample_id, prediction = line.get("id"), line.get("prediction")
        if not isinstance(sample_id, str) or "prediction" not in line:
            raise InputError(
                f'predictions={path}: line {number} must be {{"id": text, "prediction": text}}; correct it'
            )
        if sample_id not in known:
            raise InputError(
                f"predictions={path}: line {number}: id {sample_id} isn't in the data; check data and subtask"
            )
        predictions.append((sample_id, prediction if isinstance(prediction, str) else None))
    if not predictions:
        raise InputError(f"predictions={path}: no prediction in it; give at least one line")
    return predictions


def judge(benchmark: Benchmark, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """``metrics``, ``num_samples``, ``groups`` and ``per_sample`` of ``results.json``.

    ``groups`` breaks the metrics down as the benchmark does, ``per_sample`` has a line per prediction.
    A prediction that is no text scores 0. Without predictions the metrics are empty: nothing was measured.
    """
    verdicts = [
        NO_TEXT if text is None else benchmark.score(sample_id, text) for sample_id, text in predictions
    ]
    grouped: dict[str, list[Verdict]] = {}
    for (sample_id, _), verdict in zip(predictions, verdicts, strict=True):
        grouped.setdefault(benchmark.group(sample_id), []).append(verdict)
    return {
        "metrics": benchmark.metrics(verdicts) if verdicts else {},
        "num_samples": len(verdicts),
        "groups": [
            {"group": group, "num_samples": len(members), **benchmark.metrics(members)}
            for group, members in sorted(grouped.items(), key=lambda item: _natural(item[0]))
        ],
        "per_sample": [
            {"id": sample_id, "score": verdict.score, "reason": verdict.reason}
            for (sample_id, _), verdict in zip(predictions, verdicts, strict=True)
        ],
    }


def write_results(output_dir: Path, results: dict[str, Any]) -> None:
    """Replace ``results.json`` in the folder ``output_dir`` in one step."""
    replace(output_dir / "results.json", encode(results, indent=1) + b"\n")


def headline(results: dict[str, Any]) -> str:
    """One line for the terminal."""
    figures = ", ".join(f"{name} {value:.4f}" for name, value in results["metrics"].items())
    name = " ".join(filter(None, (results["benchmark"], results["subtask"])))
    return f"{name}: {figures or 'nothing scored'} over {results['num_samples']} samples"


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort key under which "10 people" follows "9 people"."""
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in text.split()]
