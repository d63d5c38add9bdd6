"""What a run leaves for people to look at: metrics.jsonl and its like, TensorBoard, W&B, a live line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from magic_megatron.config.sft import SftConfig
from magic_megatron.sft.wandb_log import WandbLog

_SECONDS_BETWEEN_LINES = 10.0


class RunLog:
    """Writes on rank 0, does nothing elsewhere. After a resume, lines of steps that are done again go first."""

    def __init__(self, config: SftConfig, first_step: int, num_steps: int, is_main: bool) -> None:
        self._is_main = is_main
        if not is_main:
            return
        output_dir = Path(config.output_dir)
        self._metrics = _reopen(output_dir / "metrics.jsonl", first_step)
        self._routing = _reopen(output_dir / "routing.jsonl", first_step)
        self._validation = _reopen(output_dir / "validation.jsonl", first_step)
        self._board = SummaryWriter(str(output_dir / "tensorboard"), purge_step=first_step)
        self._wandb = WandbLog(config)
        self._bar = _progress_bar(first_step, num_steps)

    def step(self, metrics: dict[str, Any]) -> None:
        """One line of ``metrics``, with ``step`` counted from 1."""
        if not self._is_main:
            return
        _write_line(self._metrics, metrics)
        self._show("sft", metrics)
        self._bar.set_postfix_str(_postfix(metrics), refresh=False)
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
        self._show("validation", metrics)
        for name, domain in metrics["domains"].items():
            self._show(f"validation/{name}", domain | {"step": metrics["step"]})
        self._bar.write(
            f"step {metrics['step']}: held-out loss {metrics['loss']:.4f}, token accuracy"
            f" {metrics['token_accuracy']:.1%}, exact match {metrics['exact_match']:.1%}",
            file=sys.stderr,
        )

    def close(self) -> None:
        if self._is_main:
            self._bar.close()
            self._wandb.close()
            self._board.close()
            self._metrics.close()
            self._routing.close()
            self._validation.close()

    def _show(self, group: str, metrics: dict[str, Any]) -> None:
        """The numbers of a line, to TensorBoard and W&B as ``group/key``."""
        step = metrics["step"]
        numbers = {
            f"{group}/{key}": value
            for key, value in metrics.items()
            if key != "step" and isinstance(value, int | float)
        }
        for name, value in numbers.items():
            self._board.add_scalar(name, value, step)
        self._wandb.log(numbers, step)


@contextmanager
def run_log(config: SftConfig, first_step: int, num_steps: int, is_main: bool) -> Iterator[RunLog]:
    log = RunLog(config, first_step, num_steps, is_main)
    try:
        yield log
    finally:
        log.close()


class _Lines:
    """A stream for tqdm where there is no terminal: each state of the bar is a line, not a return to its start."""

    def write(self, text: str) -> None:
        if line := text.strip():
            sys.stderr.write(line + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


def _progress_bar(first_step: int, num_steps: int) -> tqdm[Any]:
    """On a terminal a bar, elsewhere a line every ten seconds; rate and time left on both."""
    if sys.stderr.isatty():
        return tqdm(total=num_steps, initial=first_step, unit="step", desc="sft", mininterval=0.5)
    return tqdm(
        total=num_steps,
        initial=first_step,
        unit="step",
        desc="sft",
        file=_Lines(),
        bar_format="{desc}: step {n_fmt} of {total_fmt}, {elapsed} gone, {remaining} left, {rate_fmt}{postfix}",
        mininterval=_SECONDS_BETWEEN_LINES,
        maxinterval=_SECONDS_BETWEEN_LINES,
    )


def _postfix(metrics: dict[str, Any]) -> str:
    shown = [f"loss {metrics['loss']:.4f}", f"{metrics['tokens_per_s']:,.0f} tokens/s"]
    if "mfu" in metrics:
        shown.append(f"MFU {metrics['mfu']:.1%}")
    return ", ".join([*shown, f"{metrics['memory_gib']:.1f} GiB"])


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
