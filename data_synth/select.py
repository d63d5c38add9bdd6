"""``python -m data_synth.select input=D/data.jsonl budget=N output_dir=E``; ``docs/selection.md`` has the keys.

Rows are read once to see what there is, their texts are embedded (kept in ``output_dir``, so that a killed run goes
on), each task's share of the budget is selected by NovelSum, and the chosen rows are copied as they are.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from data_synth.output_folder import input_digest
from data_synth.selection.embedding import NAME, RECORD, embed_pool, embedding_digest
from data_synth.selection.folder import DATA, REPORT, SELECTION, SelectionFolder
from data_synth.selection.leaks import check_splits
from data_synth.selection.mixture import share_budget
from data_synth.selection.pool import Pool, copy_rows, read_pool
from data_synth.selection.report import Choice, describe, write_report
from data_synth.writers.rows import check_files
from recipes.command import InputError, run, typed

MACHINE_KEYS = ("output_dir", "device", "num_threads", "batch_rows", "check")
"""Keys that leave the output's bytes as they are."""


@dataclass(frozen=True)
class SelectConfig:
    """``recipes/select.yaml``, composed."""

    input: str | list[str] | None
    budget: int | None
    output_dir: Path | None
    weights: dict[str, float] | None
    mode: Literal["published", "paper"]
    alpha: float
    beta: float
    num_neighbours: int
    embedding: str
    seed: int
    device: Literal["cpu", "cuda"]
    num_threads: int
    metric_rows: int
    batch_rows: int
    check: list[str] | None
    held_out: str | list[str] | None

    @property
    def paths(self) -> list[str]:
        return _listed(self.input)

    def check_values(self) -> None:
        """Raise InputError for what no run can do."""
        for key in ("input", "budget", "output_dir"):
            if getattr(self, key) in (None, [], ""):
                raise InputError(f"{key}: missing; give it as {key}=VALUE")
        for key in ("budget", "num_neighbours", "num_threads", "metric_rows", "batch_rows"):
            if getattr(self, key) < 1:
                raise InputError(f"{key}={getattr(self, key)}: must be at least 1; try {key}=1")
        for key in ("alpha", "beta"):
            if not 0 <= getattr(self, key) <= 10:
                raise InputError(f"{key}={getattr(self, key)}: a power; use a value from 0 to 10")
        if len(set(self.paths)) < len(self.paths):
            raise InputError(f"input=[{','.join(self.paths)}]: name each file once")
        for task, weight in (self.weights or {}).items():
            if weight < 0:
                raise InputError(
                    f"weights.{task}={weight}: a weight can't be negative; use 0 to leave the task out"
                )
        if self.weights is not None and not any(self.weights.values()):
            raise InputError("weights: all are 0, which selects nothing; raise one, or leave weights out")

    def recorded(self) -> dict[str, Any]:
        """What decides the bytes of the output, but for the files that are read.

        Raises:
            InputError: the model of ``embedding`` isn't there.
        """
        values = {key: value for key, value in vars(self).items() if key not in MACHINE_KEYS}
        values |= {"input": self.paths, "held_out": _listed(self.held_out)}
        return values | {"embedding_sha256": embedding_digest(self.embedding)}


def main(config: DictConfig) -> None:
    """Select, or check splits, or say what is wrong before anything in ``output_dir`` changes."""
    settings = typed(SelectConfig, config)
    if settings.check is not None:
        for contents in check_splits(settings.check, settings.batch_rows):
            found = (
                f"{contents.num_rows} rows, {len(contents.instances)} instances, {len(contents.tools)} tools"
            )
            print(f"{contents.path}: {found}")
        print("no instance and no tool is shared")
        return
    settings.check_values()
    check_files(settings.paths)
    assert settings.output_dir is not None
    held_out = _listed(settings.held_out)
    given = {"input": settings.paths, "held_out": held_out}
    digests = {key: {path: input_digest(key, Path(path)) for path in paths} for key, paths in given.items()}
    with SelectionFolder(settings.output_dir, digests, settings.recorded()) as folder:
        if folder.complete:
            print(f"{settings.output_dir} is complete: {settings.budget} rows")
            return
        for path in held_out:
            for chosen_from in settings.paths:
                check_splits([chosen_from, path], settings.batch_rows, key="held_out")
        _select(settings, folder)
    print(f"wrote {settings.budget} rows to {settings.output_dir}")


def _select(settings: SelectConfig, folder: SelectionFolder) -> None:
    assert settings.budget is not None
    pool = read_pool(settings.paths, settings.batch_rows)
    shares = _shares(settings, pool)
    key = {"embedding": settings.embedding, "embedding_sha256": folder.recorded["embedding_sha256"]}
    key |= {"sources": [folder.sources[path] for path in settings.paths]}
    vectors = embed_pool(pool, key, folder.path, settings.batch_rows)
    choices = [_choose(settings, pool, vectors, task, share) for task, share in shares.items()]
    with folder.partial(SELECTION).open("w", encoding="utf-8") as out:
        for choice in choices:
            for rank, row in enumerate(choice.chosen):
                out.write(json.dumps(_selected(pool, rank, row), ensure_ascii=False) + "\n")
    chosen = {row for choice in choices for row in choice.chosen}
    copy_rows(pool, chosen, folder.partial(DATA), settings.batch_rows)
    described = describe(pool, choices)
    write_report(folder.partial(REPORT), folder.recorded, described)
    embedding = json.loads((folder.path / RECORD).read_text("utf-8"))
    folder.finish({"num_rows": len(chosen), **described, "embeddings": {NAME: embedding}})


def _shares(settings: SelectConfig, pool: Pool) -> dict[str, int]:
    """Rows to choose of each task.

    Raises:
        InputError: a weight is of no task there, or there are too few rows.
    """
    assert settings.budget is not None
    available: dict[str, int] = {}
    for task in pool.tasks:
        available[task] = available.get(task, 0) + 1
    weights = settings.weights or dict.fromkeys(available, 1.0)
    for task, weight in weights.items():
        if task not in available:
            raise InputError(
                f"weights.{task}={weight}: no such task in the input; it has {', '.join(sorted(available))}"
            )
    given = {task: weight for task, weight in sorted(weights.items()) if weight > 0}
    shares = share_budget(settings.budget, given, available)
    if sum(shares.values()) < settings.budget:
        raise InputError(
            f"budget={settings.budget}: the tasks with a weight have {sum(shares.values())} rows; try"
            f" budget={sum(shares.values())}, or make more"
        )
    return {task: share for task, share in shares.items() if share}


def _choose(
    settings: SelectConfig, pool: Pool, vectors: np.ndarray[Any, Any], task: str, share: int
) -> Choice:
    """One task's rows, and NovelSum of all, of the chosen and of as many at random."""
    from data_synth.selection.novelsum import Selector

    rows = pool.rows_of(task)
    selector = Selector.open(
        vectors[np.array(pool.texts, dtype=np.int64)[rows]], settings.device, settings.num_threads
    )
    draw = Random(f"{settings.seed}/{task}")
    first = draw.randrange(len(rows))
    interval = 0.2 if sys.stderr.isatty() else 10.0
    with tqdm(total=len(rows), unit="row", desc=f"{task}: density", mininterval=interval) as bar:
        selector.measure(settings.mode, settings.num_neighbours, settings.beta, bar.update)
    with tqdm(total=share, unit="row", desc=f"{task}: selecting", mininterval=interval) as bar:
        picked = selector.select(share, settings.mode, settings.alpha, first, bar.update)
    random = sorted(draw.sample(range(len(rows)), share))
    values = {
        name: selector.novelsum(chosen, settings.metric_rows, settings.seed)
        for name, chosen in (("all", list(range(len(rows)))), ("random", random), ("chosen", picked))
    }
    return Choice(task, rows, rows[picked].tolist(), rows[random].tolist(), values)


def _selected(pool: Pool, rank: int, row: int) -> dict[str, Any]:
    return {
        "id": pool.ids[row],
        "task": pool.tasks[row],
        "subtask": pool.subtasks[row],
        "rank": rank,
        "input": pool.paths[pool.files[row]],
        "line": pool.lines[row],
    }


def _listed(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


if __name__ == "__main__":
    run("select", main)
