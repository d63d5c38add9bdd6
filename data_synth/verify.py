"""``python -m data_synth.verify input=D/data.jsonl``: every row checked again, by each task's own verifier.

The verifiers read the row alone: they share no state with what made it, and nothing in a row is ever executed.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from data_synth.engine_workers import map_in_processes
from data_synth.tasks.decomposition.verify import verify_row as verify_decomposition
from data_synth.tasks.long_horizon.verify import verify_row as verify_long_horizon
from data_synth.tasks.procedural.verify import verify_row as verify_procedural
from data_synth.tasks.scheduling.verify import verify_row as verify_scheduling
from data_synth.tasks.tool_augmented.verify import verify_row as verify_tool_augmented
from data_synth.writers.rows import Lines, check_files, no_rows, read_lines, show_progress
from recipes.command import InputError, run, typed

VERIFIERS: dict[str, Callable[[dict[str, Any]], tuple[bool, str]]] = {
    "decomposition": verify_decomposition,
    "tool_augmented": verify_tool_augmented,
    "scheduling": verify_scheduling,
    "procedural": verify_procedural,
    "long_horizon": verify_long_horizon,
}
ROWS_PER_BATCH = 64


@dataclass(frozen=True)
class VerifyConfig:
    """``recipes/verify.yaml``."""

    input: str | list[str]
    num_workers: int
    num_shown: int


@dataclass(frozen=True)
class Verdicts:
    """Of a batch of lines: rows by domain, and what is wrong with the bad ones."""

    domains: Counter[str]
    bad: list[str]
    num_bytes: int


def main(config: DictConfig) -> None:
    """Count the rows of each domain and name the bad ones; exit status 1 if there is one."""
    settings = typed(VerifyConfig, config)
    if settings.num_workers < 1:
        raise InputError(f"num_workers={settings.num_workers}: must be at least 1; try num_workers=1")
    paths = [settings.input] if isinstance(settings.input, str) else settings.input
    check_files(paths)
    domains, bad = Counter[str](), list[str]()
    batches = map_in_processes(
        check_lines, read_lines(paths, ROWS_PER_BATCH), settings.num_workers, lambda: None
    )
    for verdicts in show_progress(batches, "verifying", paths):
        domains += verdicts.domains
        bad += verdicts.bad
    if not domains:
        raise no_rows(paths)
    for domain, count in sorted(domains.items()):
        print(f"{domain}: {count} rows")
    for line in bad[: settings.num_shown]:
        print(line, file=sys.stderr)
    print(f"{domains.total()} rows, {len(bad)} bad")
    sys.exit(1 if bad else 0)


def check_lines(lines: Lines) -> Verdicts:
    """Verify the rows that ``lines`` hold."""
    domains, bad = Counter[str](), list[str]()
    for row in lines.rows():
        domains[row.domain] += 1
        if row.task not in VERIFIERS:
            bad.append(f"{row.place}: {row.id}: no verifier for task {row.task}")
            continue
        fields = ("id", "task", "subtask", "messages", "tools", "gold", "meta")
        ok, reason = VERIFIERS[row.task]({name: getattr(row, name) for name in fields})
        if not ok:
            bad.append(f"{row.place}: {row.id}: {reason}")
    return Verdicts(domains, bad, lines.num_bytes)


if __name__ == "__main__":
    run("verify", main)
