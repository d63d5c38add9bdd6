"""The planner's weights, gradients and optimizer state against the bytes that every rank really holds.

Real ranks, Megatron-Core, its buffers and its distributed optimizer, in fp32 and in bf16.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from ranks import ranks_of

from magic_megatron.config.layout import data_parallel_size
from magic_megatron.config.sft import SftConfig
from magic_megatron.planner.memory import model_state
from magic_megatron.planner.parameters import stage_parameters
from magic_megatron.planner.workload import Placement, Workload
from recipes.command import compose, typed

WORKER = Path(__file__).with_name("planner_worker.py")
MOE = ["model=qwen3_moe_tiny", "model.vocab_size=2048"]
DENSE = ["model=qwen3_tiny", "model.vocab_size=2048"]
TIED = ["model=qwen2_5_tiny", "model.vocab_size=2048"]  # with biases, and one table for both ends
BF16 = ["platform.dtype=bf16"]
LAYOUTS = {
    1: {"moe": MOE, "moe_bf16": [*MOE, *BF16], "dense": DENSE, "tied_bf16": [*TIED, *BF16]},
    4: {
        "tp2_ep2": [*MOE, "parallel.tp=2", "parallel.ep=2"],
        "tp2_ep2_bf16": [*MOE, *BF16, "parallel.tp=2", "parallel.ep=2"],
        "tp4_ep4_bf16": [*MOE, *BF16, "parallel.tp=4", "parallel.ep=4"],
        "pp2": [*MOE, "parallel.pp=2"],
        "cp2": [*MOE, "parallel.cp=2"],
        "dp4_ep2": [*MOE, "parallel.ep=2"],
        "dp4_ep2_bf16": [*MOE, *BF16, "parallel.ep=2"],
        "pp2_cp2_ep2_bf16": [*MOE, *BF16, "parallel.pp=2", "parallel.cp=2", "parallel.ep=2"],
        "dense_tp2_pp2_bf16": [*DENSE, *BF16, "parallel.tp=2", "parallel.pp=2"],
        "tied_pp2": [*TIED, "parallel.pp=2"],
    },
}
CASES = [(processes, name) for processes, runs in LAYOUTS.items() for name in runs]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    found = {}
    for processes, runs in LAYOUTS.items():
        folder = tmp_path_factory.mktemp(f"planner{processes}")
        plan, out = folder / "runs.json", folder / "measured.json"
        plan.write_text(json.dumps({name: [*run, "platform=rehearsal"] for name, run in runs.items()}))
        command = ranks_of(processes, WORKER, plan, out)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
        assert done.returncode == 0, done.stderr[-4000:]
        found |= json.loads(out.read_text())
    return found


def planned(processes: int, name: str) -> tuple[Workload, Placement]:
    config = typed(SftConfig, compose("sft", ["data.path=-", "output_dir=-", *LAYOUTS[processes][name]]))
    assert config.model.vocab_size is not None
    work = Workload(config.model, config.model.vocab_size, config.platform.dtype, 1024, 1024, 8)
    dp = data_parallel_size(config.parallel, processes)
    return work, Placement(config.parallel, processes, dp, 1, "none")


@pytest.mark.parametrize(("processes", "name"), CASES)
def test_parameters_are_counted_exactly(processes, name, measured):
    work, place = planned(processes, name)
    for rank in measured[name]:
        held = stage_parameters(work.model, work.vocab_size, place.parallel, place.dp, rank["stage"])
        assert rank["parameters"] == held.shared + held.experts


@pytest.mark.parametrize(("processes", "name"), CASES)
def test_buffers_have_the_planned_bytes(processes, name, measured):
    work, place = planned(processes, name)
    for rank in measured[name]:
        plan = model_state(work, place, rank["stage"])
        assert (rank["weights"], rank["gradients"]) == (plan.weights, plan.gradients)


@pytest.mark.parametrize(("processes", "name"), CASES)
def test_the_optimizer_has_the_planned_bytes_but_for_padding(processes, name, measured):
    """Padding of the buffers falls to some rank's share and needs no state there."""
    work, place = planned(processes, name)
    for rank in measured[name]:
        plan = model_state(work, place, rank["stage"])
        assert rank["optimizer"] <= plan.optimizer
        assert rank["optimizer"] == pytest.approx(plan.optimizer, rel=0.02)
