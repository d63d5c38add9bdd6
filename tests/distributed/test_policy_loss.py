"""The RL loss on verl's FSDP2 engine: one global batch, whatever the ranks and micro-batches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("policy_loss_worker.py")
EXACT = ("loss", "grad_norm", "actor/pg_loss", "kl_loss")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy_loss")
    done = subprocess.run(
        [sys.executable, WORKER, folder],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=600,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("algorithm", ["grpo", "epo", "xxpo"])
def test_micro_batches_and_ranks_make_the_same_step(folder, algorithm):
    whole = json.loads((folder / f"{algorithm}_1_8.json").read_text())
    ours = [key for key in whole if key.startswith("actor/magic/")]
    assert len(ours) == 6
    assert 0 < whole["actor/magic/gate"] < 1
    for layout in ("1_2", "2_2"):
        split = json.loads((folder / f"{algorithm}_{layout}.json").read_text())
        for key in (*EXACT, *ours):
            assert split[key] == pytest.approx(whole[key], rel=1e-4, abs=1e-6), (layout, key)


def test_the_entropy_terms_change_the_gradient(folder):
    norms = {
        name: json.loads((folder / f"{name}_1_8.json").read_text())["grad_norm"]
        for name in ("grpo", "epo", "xxpo")
    }
    assert len({round(norm, 4) for norm in norms.values()}) == 3
