"""launch/sft.sh: torchrun on one node and on two, a log for each rank, settings refused in one line."""

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAUNCHER = str(ROOT / "launch/sft.sh")
RECIPE = [
    "platform=rehearsal",
    "train.num_steps=3",
    "train.global_batch_size=2",
    "data.sequence_length=512",
    "optim.lr=1e-3",
]


def start(arguments, **settings):
    return subprocess.Popen(
        [LAUNCHER, *arguments],
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """Exit status, standard output and standard error."""
    out, errors = process.communicate(timeout=300)
    return process.returncode, out, errors


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


def test_one_node_and_two_train_alike_and_keep_a_log_for_each_rank(export_folder, tmp_path):
    recipe = [f"data.path={export_folder / 'train'}", *RECIPE]
    one, two = tmp_path / "one", tmp_path / "two"
    process = start([*recipe, f"output_dir={one}"], NUM_PROCESSES="2")
    status, out, errors = finish(process)
    assert status == 0, errors[-3000:]
    assert f"sft: logs of the ranks in {one}/logs/node_0\n" in out
    assert "sft: torchrun --standalone --nproc-per-node 2 " in out
    assert "-m magic_megatron.sft data.path=" in out
    assert "[rank 0] sft: step 3 of 3, " in errors

    settings = {
        "NUM_NODES": "2",
        "NUM_PROCESSES": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port(),
    }
    nodes = [start([*recipe, f"output_dir={two}"], NODE_RANK=str(rank), **settings) for rank in range(2)]
    for status, _, errors in map(finish, nodes):
        assert status == 0, errors[-3000:]
    assert losses(one) == losses(two)
    assert len(losses(one)) == 3
    for run, logs in (
        (one, "node_0/*/attempt_0/[01]/stderr.log"),
        (two, "node_[01]/*/attempt_0/0/stderr.log"),
    ):
        assert len(list((run / "logs").glob(logs))) == 2


def test_the_rank_that_fails_tells_why_in_its_log_and_on_the_terminal(export_folder, tmp_path):
    arguments = [f"data.path={export_folder / 'train'}", *RECIPE, f"output_dir={tmp_path / 'run'}"]
    status, _, errors = finish(start([*arguments, "optim.lr=-1"], LOG_DIR=str(tmp_path / "logs")))
    assert status == 1
    assert "[rank 0] error: optim.lr=-1.0: must be positive" in errors
    (log,) = (tmp_path / "logs").glob("node_0/*/attempt_0/0/stderr.log")
    assert log.read_text().startswith("error: optim.lr=-1.0: must be positive")


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({}, [], "sft: output_dir: missing; give it as output_dir=VALUE"),
        (
            {"NUM_PROCESSES": "two"},
            ["output_dir=RUN"],
            "sft: NUM_PROCESSES=two: must be a whole number, at least 1",
        ),
        ({"NUM_NODES": "0"}, ["output_dir=RUN"], "sft: NUM_NODES=0: must be a whole number, at least 1"),
        (
            {"NUM_NODES": "2", "NODE_RANK": "2"},
            ["output_dir=RUN"],
            "sft: NODE_RANK=2: must be below NUM_NODES=2",
        ),
        (
            {"NUM_NODES": "2"},
            ["output_dir=RUN"],
            "sft: MASTER_ADDR: missing; NUM_NODES=2 needs the host name of node 0",
        ),
        ({"MAGIC_VENV": "/nowhere"}, ["output_dir=RUN"], "sft: MAGIC_VENV=/nowhere: no Python environment"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, arguments, message, tmp_path):
    arguments = [argument.replace("RUN", str(tmp_path / "run")) for argument in arguments]
    status, _, errors = finish(start(arguments, **settings))
    assert status == 2
    assert errors.startswith(message)
    assert errors.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({}, [], "sft.sbatch: output_dir: missing; give it as output_dir=VALUE"),
        ({"CONTAINER": "docker"}, ["output_dir=RUN"], "sft.sbatch: CONTAINER=docker: no such way to run"),
        ({"CONTAINER": "pyxis"}, ["output_dir=RUN"], "sft.sbatch: IMAGE: missing; CONTAINER=pyxis needs one"),
    ],
)
def test_the_slurm_job_refuses_before_it_starts_anything(settings, arguments, message, tmp_path):
    script = ["bash", str(ROOT / "launch/slurm/sft.sbatch"), *arguments]
    done = subprocess.run(
        script, env=os.environ | settings, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_help_names_every_setting():
    status, out, _ = finish(start(["--help"]))
    assert status == 0
    for setting in (
        "NUM_PROCESSES",
        "NUM_NODES",
        "NODE_RANK",
        "MASTER_ADDR",
        "MASTER_PORT",
        "LOG_DIR",
        "MAGIC_VENV",
    ):
        assert setting in out
    assert "set -euo" not in out
