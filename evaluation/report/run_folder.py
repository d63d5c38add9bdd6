"""Read a run folder: whatever of its stages is there (docs/evaluation.md lists the files)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.jsonl import read_finished_lines, read_lines, read_text
from evaluation.report.results_folder import Entrant, read_entrants
from recipes.command import InputError

Record = dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """One subtask's ``results.json`` and the predictions it judges, by id."""

    results: Record
    predictions: dict[str, str]

    @property
    def accuracy(self) -> float | None:
        """The share solved; None where no answer came."""
        accuracy: float | None = self.results["metrics"].get("accuracy")
        return accuracy

    @property
    def verdicts(self) -> dict[str, Record]:
        """``per_sample`` by id."""
        return {sample["id"]: sample for sample in self.results["per_sample"]}


@dataclass(frozen=True)
class Rows:
    """What the page tells of data_synth's rows: how many of each kind, and their instances' fingerprints."""

    counts: dict[str, Counter[str]]
    instances: frozenset[str]

    @property
    def num_rows(self) -> int:
        """Rows over all subtasks."""
        return self.counts["subtask"].total()


@dataclass(frozen=True)
class RunFolder:
    """A run, as far as it got. What a stage hasn't left is None or empty.

    ``synth/`` and ``heldout/`` may hold an output of data_synth, or several in folders of their own.
    """

    path: Path
    stages: list[Record]
    manifests: list[Record]
    training: Rows | None
    heldout: Rows | None
    solutions: dict[str, Record] = field(repr=False)
    metrics: list[Record] = field(repr=False)
    routing: list[Record] = field(repr=False)
    rl: list[Record] = field(repr=False)
    before: dict[str, Evaluation] = field(repr=False)
    after: dict[str, Evaluation] = field(repr=False)
    entrants: list[Entrant] = field(repr=False)

    @property
    def num_shared_instances(self) -> int | None:
        """Instances that are both in training and held out; None where one of the two isn't there."""
        if self.training is None or self.heldout is None:
            return None
        return len(self.training.instances & self.heldout.instances)

    @property
    def subtasks(self) -> list[str]:
        """The evaluated subtasks, calendar first."""
        return sorted({*self.before, *self.after}, key=lambda name: (name != "calendar", name))


def read_run(folder: str) -> RunFolder:
    """Read ``folder``; one of an SFT or of RL alone (``metrics.jsonl`` in it) is a run without the other stages.

    Raises:
        InputError: no run there, or a file of it that isn't what it should be.
    """
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"runs={folder}: no such folder; give the output_dir of a run")
    own = _lines(path / "metrics.jsonl")
    is_rl = any("reward" in line for line in own)
    rl = own if is_rl else _lines(path / "rl" / "metrics.jsonl")
    run = RunFolder(
        path=path,
        stages=_lines(path / "stages.jsonl"),
        manifests=[_json(manifest) for manifest in sorted((path / "synth").rglob("manifest.json"))],
        training=_count_rows(path / "synth"),
        heldout=_count_rows(path / "heldout"),
        solutions={row["id"]: row for row in _rows(path / "heldout")},
        metrics=own if own and not is_rl else _lines(path / "sft" / "metrics.jsonl"),
        routing=_lines((path if own else path / "sft") / "routing.jsonl"),
        rl=[line for line in rl if "reward" in line],
        before=_read_evaluations(path / "eval_before"),
        after=_read_evaluations(path / "eval_after"),
        entrants=[*read_entrants(path), *_in_training(path, rl)],
    )
    if not (run.stages or run.manifests or run.training or run.metrics or run.rl or run.entrants):
        raise InputError(f"runs={folder}: nothing of a run in it; give the output_dir of a run")
    return run


def _in_training(path: Path, lines: Sequence[Record]) -> Iterator[Entrant]:
    """The model that RL trains, if it has a step and is evaluated meanwhile."""
    values: dict[str, list[float]] = {}
    for line in lines:
        for key, value in line.items():
            if key.startswith("validation/"):
                values.setdefault(key.removeprefix("validation/"), []).append(float(value))
    if values and any("reward" in line for line in lines):
        yield Entrant(f"{path.name} in training", [], values)


def _read_evaluations(folder: Path) -> dict[str, Evaluation]:
    found = {}
    for path in sorted(folder.glob("*/results.json")):
        predictions = read_finished_lines("runs", path.with_name("predictions.jsonl"))
        found[path.parent.name] = Evaluation(
            _json(path), {line["id"]: line["prediction"] for line in predictions}
        )
    return found


def _rows(folder: Path) -> Iterator[Record]:
    for path in sorted(folder.rglob("data.jsonl")):
        yield from _lines(path)


def _count_rows(folder: Path) -> Rows | None:
    counts: dict[str, Counter[str]] = {key: Counter() for key in ("subtask", "difficulty", "language")}
    instances = set()
    for row in _rows(folder):
        meta = row.get("meta", {})
        if "instance" not in meta:
            raise InputError(
                f"runs={folder.parent}: row {row.get('id')} in {folder.name}/ has no meta.instance, so "
                "that no one can tell whether it is held out too; make the rows with data_synth"
            )
        instances.add(meta["instance"])
        counts["subtask"][row["subtask"]] += 1
        for key in ("difficulty", "language"):
            counts[key][str(meta.get(key, "not given"))] += 1
    return Rows(counts, frozenset(instances)) if instances else None


def _lines(path: Path) -> list[Record]:
    if not path.exists():
        return []
    return [line for _, line in read_lines("runs", str(path), read_text("runs", str(path)))]


def _json(path: Path) -> Record:
    try:
        content: Record = json.loads(read_text("runs", str(path)))
    except ValueError:
        raise InputError(f"runs={path}: no JSON; run its stage again") from None
    return content
