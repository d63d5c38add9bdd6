"""The entropy of verl's Megatron engine over two tensor-parallel ranks is plain torch's, in value and gradient."""

import os
import subprocess
import sys
from pathlib import Path

WORKER = Path(__file__).with_name("vocab_entropy_worker.py")


def test_entropy_over_two_ranks_is_that_of_whole_rows(tmp_path):
    """Its chunked form can't be trained through: backward writes into the logits that the next chunk saved. When
    this fails with ``differentiable``, ``entropy_from_logits_with_chunking`` needn't be refused any more."""
    done = subprocess.run(
        [sys.executable, WORKER, tmp_path],
        env=os.environ | {"VERL_PLATFORM": "cpu", "OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1"},
        timeout=300,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "equal; chunked: refused"
