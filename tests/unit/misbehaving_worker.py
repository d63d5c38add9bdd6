"""Functions that tests/unit/test_packages.py calls in a process of its own."""

import importlib.metadata
import os
import sys
import time
from pathlib import Path
from typing import Any


def echo(value: Any) -> Any:
    return value


def chatter(num_bytes: int) -> str:
    print("x" * num_bytes)
    print("y" * num_bytes, file=sys.stderr, flush=True)
    return "done"


def place() -> dict[str, Any]:
    versions = {d.name.replace("_", "-"): d.version for d in importlib.metadata.distributions()}
    return {"prefix": sys.prefix, "pid": os.getpid(), "versions": versions, "variables": dict(os.environ)}


def leave(status: int) -> None:
    print("last words", file=sys.stderr, flush=True)
    os._exit(status)


def leave_once(marker: str) -> str:
    try:
        make_once(marker)
    except FileExistsError:
        return "stayed"
    os._exit(3)


def make_once(path: str) -> None:
    Path(path).touch(exist_ok=False)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def compute() -> int:
    """Minutes in native code that lets no other thread run."""
    return len(str(pow(3, 10**9)))


def fill() -> int:
    return len(b"\0" * (8 << 30))


def tell_a_set() -> Any:
    return {1}
