"""What runs inside the environments of ``evaluation/packages.py``, apart from the rest of the project.

Modules here import the standard library, their package and each other, nothing else: the environments hold
neither pydantic nor Hydra.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import resource
import select
import signal
import sys
from typing import Any


def serve(module: str, lifeline: str, memory_bytes: str) -> None:
    """Answer calls on standard input, a JSON object a line, until it ends; a first line tells that all is imported.

    ``{"function": name, "arguments": {…}}`` is answered with ``{"value": …}`` or ``{"error": "Type: text"}``.
    Only public functions that ``module`` itself defines can be called. What a package prints goes to the log.

    Args:
        module: dotted name of the module whose functions are called.
        lifeline: descriptor of a pipe whose other end the parent holds, and nobody writes to.
        memory_bytes: limit on the address space.
    """
    _die_with_parent(int(lifeline))
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes), int(memory_bytes)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    loaded = importlib.import_module(module)
    print(json.dumps({"value": module}), file=answers, flush=True)
    for line in sys.stdin.buffer:
        print(_answer(loaded, line), file=answers, flush=True)


def _die_with_parent(lifeline: int) -> None:
    """Have the kernel kill this process when the parent's end of the pipe closes, whatever happens here then.

    PR_SET_PDEATHSIG would do so when the thread that started this process ends.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:
        sys.exit("the parent is gone")


def _answer(module: Any, line: bytes) -> str:
    try:
        request = json.loads(line)
        name = request["function"]
        function = None if name.startswith("_") else getattr(module, name, None)
        if getattr(function, "__module__", None) != module.__name__ or not callable(function):
            raise LookupError(f"{module.__name__} has no function {name}")
        return json.dumps({"value": function(**request["arguments"])})
    except Exception as error:  # everything that a package raises is the caller's to judge
        return json.dumps({"error": f"{type(error).__name__}: {error}"[:2000]})
