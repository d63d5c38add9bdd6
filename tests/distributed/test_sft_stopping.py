"""Signals: one process of a run is told to stop, all of them save and end, and the run goes on where it was."""

import json
import os
import signal
import subprocess
import time

import psutil
import pytest
from sft_runs import launcher, metrics, run_sft

RECIPE = [
    "platform=rehearsal",
    "train.num_steps=6",
    "train.global_batch_size=4",
    "train.micro_batch_size=1",
    "train.save_interval=100",
    "data.sequence_length=512",
    "optim.lr=2e-3",
]


def start(num_processes, arguments):
    return subprocess.Popen(
        [*launcher(num_processes), "-m", "magic_megatron.sft", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def wait_for_steps(process, run, number):
    """Until ``number`` lines of metrics are written."""
    path = run / "metrics.jsonl"
    deadline = time.monotonic() + 600
    while not path.exists() or path.read_text().count("\n") < number:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1][-3000:]
        time.sleep(0.01)


def status(run):
    return json.loads((run / "status.json").read_text())


@pytest.fixture(scope="module")
def recipe(export_folder):
    return [f"data.path={export_folder / 'train'}", *RECIPE]


def test_sigterm_saves_and_ends_a_run(recipe, tmp_path):
    run = tmp_path / "run"
    process = start(1, [*recipe, f"output_dir={run}"])
    wait_for_steps(process, run, 1)
    process.terminate()
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-3000:]
    assert status(run)["state"] == "stopped"
    assert f"stopped by SIGTERM and saved after step {status(run)['step']} of 6" in errors
    assert (run / f"checkpoints/step_{status(run)['step']:07d}").is_dir()


def test_a_signal_to_one_process_saves_and_ends_all_and_the_run_goes_on(recipe, tmp_path):
    run = tmp_path / "run"
    process = start(2, [*recipe, "parallel.ep=2", f"output_dir={run}"])
    wait_for_steps(process, run, 2)
    assert status(run)["state"] == "running"
    ranks = {
        child.environ()["RANK"]: child
        for child in psutil.Process(process.pid).children()
        if child.is_running()
    }
    assert int(ranks["0"].pid) == status(run)["pid"]
    ranks["1"].send_signal(signal.SIGUSR1)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-3000:]
    stopped = status(run)
    assert stopped["state"] == "stopped"
    assert 2 <= stopped["step"] < 6
    assert f"stopped by SIGUSR1 and saved after step {stopped['step']} of 6" in errors
    assert (run / f"checkpoints/step_{stopped['step']:07d}").is_dir()
    runs = {"run": [*recipe, "parallel.ep=2"], "whole": [*recipe, "parallel.ep=2"]}
    found = run_sft(2, runs, tmp_path)
    assert status(run) | {"pid": 0, "host": ""} == {
        "state": "finished",
        "step": 6,
        "num_steps": 6,
        "pid": 0,
        "host": "",
    }
    assert [line["loss"] for line in found["run"]] == [line["loss"] for line in found["whole"]]
    assert [line["step"] for line in metrics(run)] == list(range(1, 7))
