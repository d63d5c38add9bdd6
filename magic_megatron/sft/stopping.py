"""Stopping a run from outside, and saying how it stands: signals and ``status.json``.

SIGTERM or SIGUSR1 to any one process of a run stops all of them after the step under way, with a checkpoint and
exit status 0. ``output_dir/status.json`` tells a batch script whether to start the run again.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


@dataclass
class StopRequest:
    """Number of the signal that asked this process to stop, 0 before one did."""

    signal_number: int = 0


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Note the signals instead of dying from them. Main thread only.

    After an error they stay noted: torchrun sends SIGTERM as soon as one process has ended, and rank 0 has yet to
    say what was wrong.
    """
    request = StopRequest()

    def note(signal_number: int, frame: FrameType | None) -> None:
        request.signal_number = signal_number

    before = {number: signal.signal(number, note) for number in SIGNALS}
    yield request
    for number, handler in before.items():
        signal.signal(number, handler)


def write_status(
    output_dir: Path, state: Literal["running", "stopped", "finished"], step: int, num_steps: int
) -> None:
    """``status.json``; a run that crashed or was killed still says ``running``.

    ``pid`` on ``host`` is rank 0's process; a signal to it reaches the whole run.
    """
    status = {
        "state": state,
        "step": step,
        "num_steps": num_steps,
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
    partial = output_dir / "status.json.partial"
    partial.write_text(json.dumps(status) + "\n")
    partial.replace(output_dir / "status.json")
