"""Rows from attempts: several processes, one order, the same bytes whatever is killed when.

Workers make rows independently. The parent takes them in order of their index, has repeated structures drawn
again, and appends; so a file's first n lines depend on the settings alone, and a killed run continues at its
last whole line.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass, field

from tqdm import tqdm

from data_synth.config import Settings
from data_synth.engine_folder import OutputFolder
from data_synth.engine_workers import ordered_map
from data_synth.report import write_summary
from data_synth.tasks.base import Task
from recipes.command import InputError

ROWS_PER_CHUNK = 16
SECONDS_BETWEEN_LINES = 5.0
"""Of the progress, where standard error is no terminal."""


@dataclass(slots=True)
class Candidate:
    """A row before its structure is compared with those of earlier rows; lines end in a newline."""

    index: int
    attempt: int
    fingerprint: str
    line: str
    rejected: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)


def generate(task: Task, settings: Settings) -> None:
    """Write ``data.jsonl``, ``rejected.jsonl``, ``report.html`` and ``manifest.json`` to the output folder.

    Raises:
        InputError: the folder belongs to another run, or the difficulty admits no rows.
    """
    recorded = {"generator": task.generator, **settings.recorded()}
    with OutputFolder(settings.output_dir, recorded) as folder:
        if folder.complete:
            print(f"{settings.output_dir} is complete: {settings.num_samples} rows")
            return
        progress = folder.restore()
        try:
            _extend(task, settings, folder, progress)
        except InputError:
            folder.drop_if_empty()
            raise
        folder.finish(write_summary)
    print(f"wrote {settings.num_samples} rows to {settings.output_dir}")


def _extend(
    task: Task, settings: Settings, folder: OutputFolder, restored: tuple[set[str], Counter[str], int]
) -> None:
    seen, reasons, done = restored
    starts = range(done, settings.num_samples, ROWS_PER_CHUNK)
    chunks = [range(start, min(start + ROWS_PER_CHUNK, settings.num_samples)) for start in starts]
    num_workers = min(settings.num_workers, max(len(chunks), 1))
    rows = ordered_map(_RowMaker(task, settings), chunks, num_workers, folder.close_in_worker)
    interactive = sys.stderr.isatty()
    with tqdm(
        total=settings.num_samples,
        initial=done,
        unit="row",
        desc="data_synth",
        mininterval=0.2 if interactive else SECONDS_BETWEEN_LINES,
    ) as bar:
        bar.set_postfix(reasons, refresh=False)
        for chunk in rows:
            settled = [_settle(task, settings, candidate, seen) for candidate in chunk]
            folder.append([c.line for c in settled], [line for c in settled for line in c.rejected])
            for candidate in settled:
                reasons += candidate.reasons
            bar.set_postfix(dict(sorted(reasons.items())), refresh=False)
            bar.update(len(settled))


def _settle(task: Task, settings: Settings, candidate: Candidate, seen: set[str]) -> Candidate:
    """Draw again while the structure was seen before; after ``max_redraws`` the repeated one stays."""
    for _ in range(settings.max_redraws):
        if candidate.fingerprint not in seen:
            break
        again = _make(task, settings, candidate.index, candidate.attempt + 1)
        repeated = _rejected_line(
            task, candidate.index, candidate.attempt, "duplicate", candidate.fingerprint
        )
        again.rejected[:0] = [*candidate.rejected, repeated]
        again.reasons += candidate.reasons + Counter(["duplicate"])
        candidate = again
    seen.add(candidate.fingerprint)
    return candidate


@dataclass(frozen=True)
class _RowMaker:
    """What the workers run."""

    task: Task
    settings: Settings

    def __call__(self, indices: range) -> list[Candidate]:
        return [_make(self.task, self.settings, index, first=0) for index in indices]


def _make(task: Task, settings: Settings, index: int, first: int) -> Candidate:
    """The first accepted attempt from ``first`` on.

    Raises:
        InputError: none of ``max_attempts``.
    """
    rejected: list[str] = []
    reasons: Counter[str] = Counter()
    for number in range(first, first + settings.max_attempts):
        attempt = task.attempt(index, number)
        if attempt.reason is None:
            line = dump(attempt.content)
            return Candidate(index, number, attempt.fingerprint, line, rejected, reasons)
        reasons[attempt.reason] += 1
        rejected.append(
            _rejected_line(task, index, number, attempt.reason, attempt.fingerprint, **attempt.content)
        )
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    raise InputError(
        f"max_attempts={settings.max_attempts}: no {task.domain(index)} row with one solution ({counts}); "
        f"loosen difficulty.{task.domain(index).split('/')[-1]}.* or raise max_attempts"
    )


def _rejected_line(
    task: Task, index: int, attempt: int, reason: str, fingerprint: str, **content: object
) -> str:
    record = {"index": index, "domain": task.domain(index), "attempt": attempt, "reason": reason}
    return dump({**record, "fingerprint": fingerprint, **content})


def dump(record: dict[str, object]) -> str:
    """A line of JSON."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
