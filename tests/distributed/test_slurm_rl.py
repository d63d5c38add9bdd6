"""launch/slurm/rl.sbatch on a real Slurm: two nodes make one Ray cluster, train, and end what they started alone.

Nothing in the file is replaced: options of sbatch, settings and overrides turn the cluster's job into a rehearsal.
"""

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from rl_runs import MARK, OVERRIDES, check, processes_of, wait_until
from slurm_cluster import NODES, missing_requirement
from test_slurm import ENDED, wait_until_ended
from tiny_model import save_tiny_model

from magic_megatron.platform import supervisor

ROOT = Path(__file__).parents[2]
REHEARSAL = ["engine=fsdp2", "engine.parallel.tp=1", "validation.interval=0"]

reason = missing_requirement()
pytestmark = pytest.mark.skipif(reason is not None, reason=f"no Slurm here: {reason}")


@contextmanager
def another_ray(folder):
    """A cluster of Ray that isn't the job's."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [
        "ray",
        "start",
        "--head",
        f"--port={port}",
        "--num-cpus=1",
        "--include-dashboard=false",
        "--block",
    ]
    with (folder / "another.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, supervisor.__file__, str(os.getpid()), *command],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
        )
        try:
            wait_until(
                lambda: "runtime started" in (folder / "another.log").read_text(), 120, folder / "another.log"
            )
            yield process
        finally:
            process.terminate()
            process.wait()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_nodes_are_one_cluster_of_ray_for_the_time_of_the_job(cluster, tmp_path):
    save_tiny_model(tmp_path / "model", num_experts=0)
    run = tmp_path / "run"
    sbatch = [
        "sbatch",
        "--parsable",
        "--nodes=2",
        f"--output={tmp_path / 'job.out'}",
        "launch/slurm/rl.sbatch",
    ]
    overrides = [*OVERRIDES, *REHEARSAL, f"model.path={tmp_path / 'model'}", f"output_dir={run}"]
    with another_ray(tmp_path) as other:
        job = cluster.run(*sbatch, *overrides, cwd=ROOT, NUM_GPUS="1", NUM_CPUS="16", **{MARK: str(run)})
        logs = run / f"logs/job_{job}_start_0"
        wait_until(
            lambda: any(logs.glob("ended_*")) or cluster.job(job)["JobState"] in ENDED,
            1200,
            tmp_path / "job.out",
            interval=5,
        )
        wait_until_ended(cluster, job, interval=2)
        output = (tmp_path / "job.out").read_text()
        assert cluster.job(job)["JobState"] == "COMPLETED", output[-4000:]
        wait_until(lambda: not processes_of(run), 60, tmp_path / "job.out")
        assert other.poll() is None
    check(run)
    assert f"nodes {' '.join(NODES)}" in (logs / "job.txt").read_text()
    assert "rl: node 1 joins node1:" in output
    assert "nodes=2 gpus_per_node=1" in output
    assert [file.read_text() for file in logs.glob("ended_*")] == ["0\n"]
    for rank in range(2):
        assert "runtime started" in (logs / f"node_{rank}.log").read_text()
