"""The files of a run that outlive a kill: metrics and checkpoints."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

COMPLETE = "complete.json"
_PREFIX = "global_step_"
_TRACKER = "latest_checkpointed_iteration.txt"


class MetricsFile:
    """``metrics.jsonl``, a line a step. Lines after ``last_step``, whose steps are done again, go first."""

    def __init__(self, path: Path, last_step: int) -> None:
        kept = []
        if path.exists():
            for line in path.read_bytes().splitlines(keepends=True):
                if not line.endswith(b"\n") or json.loads(line)["step"] > last_step:
                    break
                kept.append(line)
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(b"".join(kept))
        temporary.replace(path)
        self._file = path.open("a", encoding="utf-8")

    def write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def mark_complete(folder: Path, state: dict[str, Any], keep: int) -> None:
    """Declare the checkpoint ``folder`` whole, with the trainer's ``state``; then drop older ones beyond ``keep``."""
    checkpoints = folder.parent
    temporary = folder / (COMPLETE + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / COMPLETE)
    for old in complete_steps(checkpoints)[:-keep]:
        shutil.rmtree(checkpoints / f"{_PREFIX}{old}")


def complete_steps(checkpoints: Path) -> list[int]:
    """Steps with a whole checkpoint, ascending."""
    return sorted(
        int(path.parent.name.removeprefix(_PREFIX)) for path in checkpoints.glob(f"{_PREFIX}*/{COMPLETE}")
    )


def newest_checkpoint(checkpoints: Path) -> Path | None:
    """The newest whole checkpoint."""
    steps = complete_steps(checkpoints)
    return checkpoints / f"{_PREFIX}{steps[-1]}" if steps else None


def remove_unfinished(checkpoints: Path) -> None:
    """Take away what a kill left half written, so that nothing resumes from it."""
    for folder in checkpoints.glob(f"{_PREFIX}*"):
        if not (folder / COMPLETE).exists():
            shutil.rmtree(folder)
    (checkpoints / _TRACKER).unlink(missing_ok=True)


def read_state(checkpoint: Path) -> dict[str, Any]:
    """What ``mark_complete`` was given."""
    state: dict[str, Any] = json.loads((checkpoint / COMPLETE).read_text())
    return state
