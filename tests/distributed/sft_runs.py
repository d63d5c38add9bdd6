"""Start SFT runs for the tests: many layouts in one start of processes."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
from ranks import ranks_of

WORKER = Path(__file__).with_name("sft_worker.py")
NUM_HELD_OUT = 24


def launcher(num_processes: int) -> list[str]:
    """As a user starts a run: python, or torchrun."""
    if num_processes == 1:
        return [sys.executable]
    command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"]
    return [sys.executable, *command]


def run_sft(
    num_processes: int,
    runs: dict[str, list[str]],
    folder: Path,
    timeout: float = 600,
    memory: list[int] | None = None,
    forget: Mapping[str, Sequence[Path]] = MappingProxyType({}),
) -> dict[str, list[dict[str, Any]]]:
    """Metrics of each run, a dict a step; run ``name`` writes to ``folder/name``, or to an ``output_dir`` of its own.

    Args:
        forget: what is removed before a run, by its name.
        memory: gets the bytes that all processes held together, again and again; torchrun starts them then, since
            forked ones share what they have imported.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan = folder / "runs.json"
    wanted = [
        {
            "overrides": [f"output_dir={folder / name}", "platform=rehearsal", *run],
            "forget": [str(path) for path in forget.get(name, ())],
        }
        for name, run in runs.items()
    ]
    plan.write_text(json.dumps(wanted))
    as_users_do = [*launcher(num_processes), str(WORKER), str(plan)]
    process = subprocess.Popen(
        ranks_of(num_processes, WORKER, plan) if memory is None else as_users_do,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    if memory is not None:
        threading.Thread(target=_watch_memory, args=(process, memory), daemon=True).start()
    try:
        _, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _end(process)
        raise
    assert process.returncode == 0, errors[-4000:]
    return {name: metrics(folder / name) for name in runs if (folder / name).exists()}


def metrics(output_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output_dir / "metrics.jsonl").read_text().splitlines()]


def _watch_memory(process: subprocess.Popen[str], memory: list[int]) -> None:
    """Proportional set sizes, so that shared pages count once, twice a second until the processes end."""
    parent = psutil.Process(process.pid)
    while process.poll() is None:
        held = 0
        for child in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                held += child.memory_full_info().pss
        memory.append(held)
        time.sleep(0.5)


def _end(process: subprocess.Popen[str]) -> None:
    """The process and its ranks."""
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.communicate()
