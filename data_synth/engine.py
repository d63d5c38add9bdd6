"""Rows from attempts: several processes, threads or machines, one order, the same bytes whatever is killed when.

Workers make rows independently. The parent takes them in order of their index, has repeated ones drawn again, and
appends; so a file's first n lines depend on the settings alone, and a killed run continues at its last whole line.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

from data_synth.card import rows_card
from data_synth.config import Settings
from data_synth.engine_folder import OutputFolder
from data_synth.engine_rows import Candidate, RowMaker, near_hash
from data_synth.engine_seen import Seen
from data_synth.engine_workers import map_in_processes, map_in_threads
from data_synth.report import write_summary
from data_synth.tasks.base import Task
from recipes.command import InputError

ROWS_PER_CHUNK = 16
SECONDS_BETWEEN_LINES = 5.0
"""Of the progress, where standard error is no terminal."""


def generate(task: Task, settings: Settings, usage: Callable[[], dict[str, Any]] = dict) -> None:
    """Write ``data.jsonl``, ``rejected.jsonl``, ``report.html``, the card ``README.md`` and ``manifest.json``.

    Args:
        usage: what the model's answers took, asked when all rows are there.

    Raises:
        InputError: the folder belongs to another run, the settings admit no rows, or the model can't go on.
    """
    recorded = {"generator": task.generator, **settings.recorded()}
    with OutputFolder(settings.output_dir, recorded) as folder:
        if folder.complete:
            print(f"{settings.output_dir} is complete: {settings.num_samples} rows")
            return
        seen = Seen(settings.filters.simhash_distance)
        done, reasons = folder.restore(lambda row: seen.add(row["meta"]["instance"], near_hash(row)))
        try:
            _extend(RowMaker(task, settings), folder, seen, done, reasons)
        except InputError:
            folder.drop_if_empty()
            raise
        folder.finish(write_summary, rows_card, usage())
    print(f"wrote {settings.num_samples} rows to {settings.output_dir}")


def _extend(maker: RowMaker, folder: OutputFolder, seen: Seen, done: int, reasons: Counter[str]) -> None:
    total = maker.settings.num_samples
    interactive = sys.stderr.isatty()
    with tqdm(
        total=total,
        initial=done,
        unit="row",
        desc="data_synth",
        mininterval=0.2 if interactive else SECONDS_BETWEEN_LINES,
    ) as bar:
        bar.set_postfix(reasons, refresh=False)
        for chunk in _candidates(maker, done, folder):
            settled = [_settle(maker, candidate, seen) for candidate in chunk]
            folder.append([c.line for c in settled], [line for c in settled for line in c.rejected])
            for candidate in settled:
                reasons += candidate.reasons
            bar.set_postfix(dict(sorted(reasons.items())), refresh=False)
            bar.update(len(settled))


def _candidates(maker: RowMaker, done: int, folder: OutputFolder) -> Iterator[list[Candidate]]:
    """All rows from number ``done`` on, in order, some at a time."""
    settings = maker.settings
    rows = 1 if settings.llm.waits else ROWS_PER_CHUNK
    starts = range(done, settings.num_samples, rows)
    chunks = [range(start, min(start + rows, settings.num_samples)) for start in starts]
    if settings.engine == "ray":
        from data_synth.engine_ray import map_on_ray

        return map_on_ray(maker, chunks, settings.ray_address)
    if settings.llm.waits:
        return map_in_threads(maker, chunks, min(settings.llm.concurrency, max(len(chunks), 1)))
    num_workers = min(settings.num_workers, max(len(chunks), 1))
    return map_in_processes(maker, chunks, num_workers, folder.close_in_worker)


def _settle(maker: RowMaker, candidate: Candidate, seen: Seen) -> Candidate:
    """Draw again while the row repeats an earlier one.

    A repeated instance stays after ``max_redraws``, since small spaces run dry; a near-duplicate never does.
    """
    first = candidate.attempt
    while (reason := seen.repeats(candidate.fingerprint, candidate.text_hash)) is not None:
        is_capped = candidate.reasons["duplicate"] >= maker.settings.max_redraws
        if reason == "duplicate" and is_capped and not seen.is_near(candidate.text_hash):
            break
        if candidate.attempt - first >= maker.settings.max_attempts:
            raise InputError(
                f"filters.simhash_distance={maker.settings.filters.simhash_distance}: no"
                f" {maker.task.domain(candidate.index)} row that isn't near an earlier one;"
                " lower it, ask for fewer rows, or give more tools"
            )
        again = maker.make(candidate.index, candidate.attempt + 1)
        again.follows(candidate, reason, maker.task.domain(candidate.index))
        candidate = again
    seen.add(candidate.fingerprint, candidate.text_hash)
    return candidate
