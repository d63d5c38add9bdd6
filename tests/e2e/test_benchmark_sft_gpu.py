"""``benchmarks/sft_gpu.py`` where there is no GPU: it says so, and its code is rehearsed at tiny sizes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "sft_gpu.py"


def run(*arguments):
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_claims_nothing():
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert "no CUDA device" in done.stderr


def test_every_side_takes_a_step_in_rehearsal():
    done = run("--rehearse")
    assert done.returncode == 0, done.stderr[-3000:]
    speeds = [line for line in done.stdout.splitlines() if "tokens/s" in line]
    assert [line.split(":")[0] for line in speeds] == ["ours", "megatron-core", "transformers"]
