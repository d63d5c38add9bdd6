"""Run a command so that none of its processes outlives its starter. Linux.

Started by path, ``python supervisor.py PARENT_PID COMMAND…``, because importing the package takes seconds:
nothing but psutil and the standard library here. Told to end, or when its parent dies in whatever way, the
supervisor ends the command and all that descends from it, orphans included. Its status is the command's,
128 + the signal's number where a signal ended it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from types import FrameType
from typing import NoReturn

import psutil

# <linux/prctl.h>
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 10.0


def die_with_parent(parent: int, signal_number: int = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal as soon as process ``parent``, which started it, is gone."""
    _prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal_number)


def end_descendants(grace_s: float = GRACE_S) -> None:
    """Ask all processes below this one to end, wait ``grace_s`` seconds, and kill those that are left."""
    descendants = psutil.Process().children(recursive=True)
    for process in descendants:
        _send(process, signal.SIGTERM)
    psutil.wait_procs(descendants, timeout=grace_s)
    while left := [
        p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE
    ]:
        for process in left:
            _send(process, signal.SIGKILL)
        psutil.wait_procs(left, timeout=grace_s)


def _send(process: psutil.Process, signal_number: int) -> None:
    try:
        process.send_signal(signal_number)
    except psutil.NoSuchProcess:
        return


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def _stop(signal_number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signal_number)


def main(parent: int, command: list[str]) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        die_with_parent(parent, signal.SIGTERM)
        status = subprocess.Popen(command).wait()
        return status if status >= 0 else 128 - status
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        end_descendants()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
