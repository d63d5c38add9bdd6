"""Start SFT runs for the tests: many layouts in one start of processes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("sft_worker.py")


def launcher(num_processes: int) -> list[str]:
    if num_processes == 1:
        return [sys.executable]
    command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"]
    return [sys.executable, *command]


def run_sft(
    num_processes: int, runs: dict[str, list[str]], folder: Path, timeout: float = 600
) -> dict[str, list[dict[str, Any]]]:
    """Metrics of each run, a dict a step; run ``name`` writes to ``folder/name``."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = folder / "runs.json"
    overrides = [[*run, f"output_dir={folder / name}", "platform=rehearsal"] for name, run in runs.items()]
    plan.write_text(json.dumps(overrides))
    done = subprocess.run(
        [*launcher(num_processes), str(WORKER), str(plan)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return {name: metrics(folder / name) for name in runs}


def metrics(output_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output_dir / "metrics.jsonl").read_text().splitlines()]
