"""What a run has got so far, on disk after every answer, so that a killed run asks nothing twice.

``predictions.jsonl`` grows by a line as an answer comes, ``requests.jsonl`` by a line with its costs, written
first. A line is finished iff its newline is there; a torn last line is dropped. At the end the predictions
are put into the order of the data.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evaluation.client import Answer
from evaluation.jsonl import encode, read_lines, read_text, replace, write_lines
from recipes.command import InputError, make_folder

FILES = ("results.json", "predictions.jsonl", "requests.jsonl", "settings.json")


@contextmanager
def hold(output_dir: Path) -> Iterator[None]:
    """Keep a second run out of the folder, which is made if need be.

    Raises:
        InputError: another run is in it, or it can't be made.
    """
    make_folder("output_dir", output_dir)
    with (output_dir / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"output_dir={output_dir}: another run writes there; choose another") from None
        yield


class Journal:
    """The answers of one run over all its starts.

    Attributes:
        answers: prediction by id, of the finished requests.
    """

    def __init__(self, output_dir: Path, settings: dict[str, Any], resume: str) -> None:
        """Open the folder's journal, or begin one.

        Args:
            output_dir: held by ``hold``.
            settings: what decides the answers, by key.
            resume: "auto" goes on with the journal there, "never" begins anew.

        Raises:
            InputError: the folder holds a run with other settings, or predictions of another origin.
        """
        if resume == "never":
            for name in FILES:
                (output_dir / name).unlink(missing_ok=True)
        self._predictions = output_dir / "predictions.jsonl"
        self._requests = output_dir / "requests.jsonl"
        _match_settings(output_dir, settings)
        self.answers = {line["id"]: line["prediction"] for line in _finished_lines(self._predictions)}
        costs = _finished_lines(self._requests)
        self._costs = {cost["id"]: cost for cost in costs if cost["id"] in self.answers}
        self._start = 1 + max((cost["start"] for cost in costs), default=0)
        self._began = time.monotonic()

    def append(self, sample_id: str, answer: Answer) -> None:
        """Put an answer on disk."""
        cost = {
            "id": sample_id,
            **{key: value for key, value in dataclasses.asdict(answer).items() if key != "text"},
            "start": self._start,
            "elapsed_s": round(time.monotonic() - self._began, 4),
        }
        for path, line in ((self._requests, cost), (self._predictions, _prediction(sample_id, answer.text))):
            with path.open("ab") as file:
                file.write(encode(line) + b"\n")
        self._costs[sample_id] = cost
        self.answers[sample_id] = answer.text

    def finish(self, order: Sequence[str]) -> list[tuple[str, str]]:
        """Put ``predictions.jsonl`` into this order of ids; the (id, prediction) there are."""
        done = [(sample_id, self.answers[sample_id]) for sample_id in order if sample_id in self.answers]
        write_lines(self._predictions, (_prediction(*pair) for pair in done))
        return done

    def totals(self) -> dict[str, Any]:
        """Sums over the finished requests; ``wall_s`` adds up every start's time until its last answer."""
        costs = self._costs.values()
        last: dict[int, float] = {}
        for cost in costs:
            last[cost["start"]] = max(cost["elapsed_s"], last.get(cost["start"], 0.0))
        return {
            "prompt_tokens": sum(cost["prompt_tokens"] or 0 for cost in costs),
            "completion_tokens": sum(cost["completion_tokens"] or 0 for cost in costs),
            "num_truncated": sum(cost["finish_reason"] == "length" for cost in costs),
            "num_retries": sum(cost["num_attempts"] - 1 for cost in costs),
            "wall_s": round(sum(last.values()), 3),
        }


def _prediction(sample_id: str, text: str) -> dict[str, str]:
    return {"id": sample_id, "prediction": text}


def _match_settings(output_dir: Path, settings: dict[str, Any]) -> None:
    path = output_dir / "settings.json"
    if not path.exists():
        if (output_dir / "predictions.jsonl").exists():
            raise InputError(
                f"output_dir={output_dir}: holds predictions of another origin; choose another folder"
            )
        replace(path, encode(settings, indent=1) + b"\n")
        return
    before = json.loads(path.read_bytes())
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
