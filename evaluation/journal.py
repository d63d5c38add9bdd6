"""What a run has got so far, on disk after every answer, so that a killed run asks nothing twice.

``requests.jsonl`` grows by a line as an answer comes, with its costs; ``predictions.jsonl`` by a line when a sample
is done. A line is finished iff its newline is there; a torn last line is dropped. At the end the predictions are put
into the order of the data.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.benchmarks import Reply, ToolCall
from evaluation.client import Answer
from evaluation.jsonl import encode, read_lines, read_text, replace, write_lines
from evaluation.results import Prediction
from recipes.command import InputError

FILES = ("results.json", "gold.jsonl", "predictions.jsonl", "requests.jsonl", "settings.json")


@dataclass(frozen=True)
class Kept:
    """An answer in the journal, and the digest of what was asked."""

    digest: str
    reply: Reply


class Journal:
    """The answers and predictions of one run over all its starts.

    Attributes:
        predictions: by sample and trial (from 0), of the samples that are done.
    """

    def __init__(
        self,
        output_dir: Path,
        settings: dict[str, Any],
        resume: str,
        num_trials: int,
        beside: Collection[str] = (),
    ) -> None:
        """Open the folder's journal, or begin one.

        Args:
            output_dir: held by ``recipes.command.hold_folder``.
            settings: what decides the answers, by key.
            resume: "auto" goes on with the journal there, "never" begins anew.
            num_trials: how often each sample is done.
            beside: keys that decide no answer, which the folder of an earlier version may hold nevertheless.

        Raises:
            InputError: the folder holds a run with other settings, or predictions of another origin.
        """
        if resume == "never":
            for name in FILES:
                (output_dir / name).unlink(missing_ok=True)
        self.output_dir = output_dir
        self._predictions = output_dir / "predictions.jsonl"
        self._requests = output_dir / "requests.jsonl"
        self._num_trials = num_trials
        _match_settings(output_dir, settings, beside)
        self.predictions = {
            (line["id"], line.get("trial", 0)): line["prediction"]
            for line in _finished_lines(self._predictions)
        }
        self._lines = _finished_lines(self._requests)
        self._answers = {(line["id"], line["trial"], line["index"]): _kept(line) for line in self._lines}
        self._start = 1 + max((line["start"] for line in self._lines), default=0)
        self._began = time.monotonic()

    def answer(self, sample_id: str, trial: int, index: int) -> Kept | None:
        """The answer to a sample's request number ``index`` (from 0), if it came before."""
        return self._answers.get((sample_id, trial, index))

    def keep_answer(
        self,
        sample_id: str,
        trial: int,
        role: str,
        index: int,
        digest: str,
        asked: Mapping[str, Any],
        answer: Answer,
    ) -> None:
        """Put an answer on disk; ``asked``: beyond what was asked of this role before (``evaluation/asked.py``)."""
        line = {
            **{"id": sample_id, "trial": trial, "role": role, "index": index, "digest": digest},
            "asked": asked,
            **dataclasses.asdict(answer),
            "start": self._start,
            "elapsed_s": round(time.monotonic() - self._began, 4),
        }
        _append(self._requests, line)
        self._lines.append(line)
        self._answers[sample_id, trial, index] = Kept(digest, answer.reply)

    def keep_prediction(self, sample_id: str, trial: int, prediction: Any) -> None:
        """Put the prediction of a sample that is done on disk."""
        _append(self._predictions, self._prediction(sample_id, trial, prediction).line)
        self.predictions[sample_id, trial] = prediction

    def finish(self, order: Sequence[tuple[str, int]]) -> list[Prediction]:
        """Put ``predictions.jsonl`` into this order of samples and trials; the predictions there are."""
        done = [self._prediction(*key, self.predictions[key]) for key in order if key in self.predictions]
        write_lines(self._predictions, (one.line for one in done))
        return done

    def _prediction(self, sample_id: str, trial: int, value: Any) -> Prediction:
        return Prediction(sample_id, value, trial if self._num_trials > 1 else None)

    @property
    def wall_s(self) -> float:
        """Every start's time until its last answer, added up."""
        last: dict[int, float] = {}
        for line in self._lines:
            last[line["start"]] = max(line["elapsed_s"], last.get(line["start"], 0.0))
        return round(sum(last.values()), 3)

    def totals(self, role: str) -> dict[str, int]:
        """Sums over the answers that a role gave."""
        lines = [line for line in self._lines if line["role"] == role]
        return {
            "num_requests": len(lines),
            "prompt_tokens": sum(line["prompt_tokens"] or 0 for line in lines),
            "completion_tokens": sum(line["completion_tokens"] or 0 for line in lines),
            "num_truncated": sum(line["reply"]["finish_reason"] == "length" for line in lines),
            "num_retries": sum(line["num_attempts"] - 1 for line in lines),
        }


def _kept(line: dict[str, Any]) -> Kept:
    calls = tuple(ToolCall(**call) for call in line["reply"]["tool_calls"])
    return Kept(line["digest"], Reply(**{**line["reply"], "tool_calls": calls}))


def _append(path: Path, line: dict[str, Any]) -> None:
    with path.open("ab") as file:
        file.write(encode(line) + b"\n")


def without(settings: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """``settings`` less ``keys``; one within a group is ``GROUP.KEY``."""
    return {
        key: {own: each for own, each in value.items() if f"{key}.{own}" not in keys}
        if isinstance(value, dict)
        else value
        for key, value in settings.items()
        if key not in keys
    }


def _match_settings(output_dir: Path, settings: dict[str, Any], beside: Collection[str]) -> None:
    path = output_dir / "settings.json"
    if not path.exists():
        if (output_dir / "predictions.jsonl").exists():
            raise InputError(
                f"output_dir={output_dir}: holds predictions of another origin; choose another folder"
            )
        replace(path, encode(settings, indent=1) + b"\n")
        return
    before = without(json.loads(path.read_bytes()), beside)
    for key in sorted(settings.keys() | before.keys()):
        if settings.get(key) != before.get(key):
            raise InputError(
                f"{key}={settings.get(key)}: {output_dir} holds a run with {key}={before.get(key)}; "
                "give the same, another output_dir, or resume=never"
            )


def _finished_lines(path: Path) -> list[dict[str, Any]]:
    """The lines that end in a newline; what a kill left after them is cut off the file."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return [line for _, line in read_lines("output_dir", str(path), read_text("output_dir", str(path)))]
