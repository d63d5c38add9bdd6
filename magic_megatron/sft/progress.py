"""What a run leaves for people to look at: metrics.jsonl, routing.jsonl, TensorBoard, a live line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm


class RunLog:
    """Writes on rank 0, does nothing elsewhere. After a resume, lines of steps that are done again go first."""

    def __init__(self, output_dir: Path, first_step: int, num_steps: int, is_main: bool) -> None:
        self._is_main = is_main
        if not is_main:
            return
        self._metrics = _reopen(output_dir / "metrics.jsonl", first_step)
        self._routing = _reopen(output_dir / "routing.jsonl", first_step)
        self._validation = _reopen(output_dir / "validation.jsonl", first_step)
        self._board = SummaryWriter(str(output_dir / "tensorboard"), purge_step=first_step)
        self._bar = tqdm(
            total=num_steps,
            initial=first_step,
            unit="step",
            desc="sft",
            file=sys.stderr,
            mininterval=0.5 if sys.stderr.isatty() else 10.0,
        )

    def step(self, metrics: dict[str, Any]) -> None:
        """One line of ``metrics``, with ``step`` counted from 1."""
        if not self._is_main:
            return
        _write_line(self._metrics, metrics)
        for key, value in metrics.items():
            if key != "step" and isinstance(value, int | float):
                self._board.add_scalar(f"sft/{key}", value, metrics["step"])
        self._bar.set_postfix_str(
            f"loss {metrics['loss']:.4f}, {metrics['tokens_per_s']:,.0f} tokens/s", refresh=False
        )
        self._bar.update()

    def routing(self, line: dict[str, Any]) -> None:
        """One line of expert selection counts."""
        if self._is_main:
            _write_line(self._routing, line)

    def validation(self, metrics: dict[str, Any]) -> None:
        """One line about the held-out rows after ``step``."""
        if not self._is_main:
            return
        _write_line(self._validation, metrics)
        for key in ("loss", "token_accuracy", "exact_match"):
            self._board.add_scalar(f"validation/{key}", metrics[key], metrics["step"])
        self._bar.write(
            f"step {metrics['step']}: held-out loss {metrics['loss']:.4f}, token accuracy"
            f" {metrics['token_accuracy']:.1%}, exact match {metrics['exact_match']:.1%}",
            file=sys.stderr,
        )

    def close(self) -> None:
        if self._is_main:
            self._bar.close()
            self._board.close()
            self._metrics.close()
            self._routing.close()
            self._validation.close()


@contextmanager
def run_log(output_dir: Path, first_step: int, num_steps: int, is_main: bool) -> Iterator[RunLog]:
    log = RunLog(output_dir, first_step, num_steps, is_main)
    try:
        yield log
    finally:
        log.close()


def _reopen(path: Path, last_step: int) -> TextIO:
    """Append to ``path`` after dropping what lies beyond ``last_step``, a line cut by a kill included."""
    kept = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                step = json.loads(line)["step"]
            except json.JSONDecodeError:
                break
            if step > last_step:
                break
            kept.append(line + "\n")
    partial = path.with_suffix(".jsonl.partial")
    partial.write_text("".join(kept))
    partial.replace(path)
    return path.open("a")


def _write_line(file: TextIO, value: dict[str, Any]) -> None:
    file.write(json.dumps(value) + "\n")
    file.flush()
