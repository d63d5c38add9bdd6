"""Context-parallel attention over real gloo ranks, forward and gradient, against the formula on one."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_two_and_four_ranks_agree_with_the_formula(tmp_path):
    done = subprocess.run(
        [sys.executable, TESTS / "distributed/attention_cp_worker.py", tmp_path, "2", "4"],
        env=os.environ | {"PYTHONPATH": str(TESTS / "unit"), "OMP_NUM_THREADS": "1"},
        timeout=600,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-2:] == ["cp=2: equal", "cp=4: equal"]
