"""A row's loss from a pack is its loss alone: real tiny models, fp32, packs whole and context-parallel."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from ranks import ranks_of

WORKER = Path(__file__).with_name("packed_rows_worker.py")


@pytest.fixture(scope="module")
def losses(export_folder, tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("rows"), {}
    for cp in (1, 2):
        output = folder / f"{cp}.json"
        done = subprocess.run(
            ranks_of(cp, WORKER, export_folder / "train", output),
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            timeout=600,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found[cp] = json.loads(output.read_text())
    return found


@pytest.mark.parametrize("model", ["qwen3_tiny", "qwen3_moe_tiny"])
@pytest.mark.parametrize("cp", [1, 2])
def test_a_packed_rows_loss_is_its_loss_alone(losses, model, cp):
    alone = losses[1][model]["alone"]
    assert len(alone) > 6 and min(alone) > 1
    assert losses[cp][model]["packed"] == pytest.approx(alone, rel=1e-5)
