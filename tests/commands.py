"""Run the project's commands as a user does, each in a process of its own."""

import subprocess
import sys


def run_module(module: str, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """``python -m module arguments`` with its output captured."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def must_run(module: str, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """As ``run_module``, but a failure fails the test with the end of what was printed."""
    done = run_module(module, *arguments, timeout=timeout)
    assert done.returncode == 0, f"{module}: {done.stderr[-3000:]}"
    return done
