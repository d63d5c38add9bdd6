"""launch/slurm/sft.sbatch on a real Slurm: two nodes train, are stopped and queued again twice, and end the run.

Nothing in the file is replaced: options of sbatch and overrides of the recipe turn the cluster's job into a rehearsal.
"""

import time
from pathlib import Path

import pytest
from sft_runs import metrics, run_sft
from slurm_cluster import missing_requirement
from test_sft_resume import losses, shards

ROOT = Path(__file__).parents[2]
NUM_STEPS = 16
RECIPE = [
    "model=qwen3_moe_tiny",
    "parallel=single",
    "parallel.ep=2",
    f"train.num_steps={NUM_STEPS}",
    "train.global_batch_size=4",
    "train.micro_batch_size=1",
    "train.save_interval=100",
    "data.sequence_length=512",
    "optim.lr=2e-3",
]
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}

reason = missing_requirement()
pytestmark = pytest.mark.skipif(reason is not None, reason=f"no Slurm here: {reason}")


@pytest.fixture(scope="module")
def recipe(export_folder):
    return [f"data.path={export_folder / 'train'}", *RECIPE]


def submit(cluster, folder, *overrides):
    """The job's number; its output goes to ``folder/job.out``."""
    options = ["--nodes=2", f"--output={folder / 'job.out'}"]
    sbatch = ["sbatch", "--parsable", *options, "launch/slurm/sft.sbatch", "platform=rehearsal", *overrides]
    return cluster.run(*sbatch, cwd=ROOT, NUM_PROCESSES="1")


def wait_for(cluster, folder, job, condition, timeout=400):
    """Until ``condition()`` holds, while the job hasn't ended."""
    deadline = time.monotonic() + timeout
    while not condition():
        state = cluster.job(job)["JobState"]
        if state in ENDED or time.monotonic() > deadline:
            output = "\n".join(file.read_text()[-3000:] for file in folder.rglob("*.out"))
            raise AssertionError(f"job is {state}\n{output}\n{cluster.logs()}")
        time.sleep(0.2)


def wait_until_ended(cluster, job, timeout=120, interval=0.2):
    deadline = time.monotonic() + timeout
    while (state := cluster.job(job)["JobState"]) not in ENDED:
        assert time.monotonic() < deadline, f"job is {state}\n{cluster.logs()}"
        time.sleep(interval)


def num_steps_done(run):
    path = run / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def test_a_job_that_is_signalled_and_requeued_ends_as_an_uninterrupted_run(cluster, recipe, tmp_path):
    run = tmp_path / "run"
    job = submit(cluster, tmp_path, *recipe, f"output_dir={run}")
    wait_for(cluster, tmp_path, job, lambda: num_steps_done(run) >= 4)

    # As Slurm does it before the time limit: the ranks save, the script queues the job again.
    cluster.run("scancel", "--batch", "--signal=USR1", job)
    wait_for(cluster, tmp_path, job, lambda: cluster.job(job)["Restarts"] == "1")
    (saved,) = [int(path.name[-7:]) for path in (run / "checkpoints").glob("step_*[1-9]*")]
    assert 4 <= saved < NUM_STEPS

    # As Slurm does it for others' jobs: SIGTERM to all processes, SIGKILL seconds later, whatever they have saved.
    wait_for(cluster, tmp_path, job, lambda: num_steps_done(run) >= saved + 2)
    cluster.run("scontrol", "requeue", job)
    wait_for(cluster, tmp_path, job, lambda: num_steps_done(run) >= NUM_STEPS)
    wait_until_ended(cluster, job)
    assert cluster.job(job) | {"JobState": "COMPLETED", "Restarts": "2"} == cluster.job(job)

    run_sft(2, {"uninterrupted": recipe}, tmp_path)
    assert [line["step"] for line in metrics(run)] == list(range(1, NUM_STEPS + 1))
    assert losses(run) == losses(tmp_path / "uninterrupted")
    assert shards(run) == shards(tmp_path / "uninterrupted")
    for start in range(3):
        logs = run / f"logs/job_{job}_start_{start}"
        assert f"start {start}," in (logs / "job.txt").read_text()
        assert len(list(logs.glob("node_[01]/*/attempt_0/0/stderr.log"))) == 2
    assert "name: qwen3_moe_tiny" in (run / "recipe.yaml").read_text()


def test_bad_input_fails_the_job_and_is_told_in_its_output(cluster, recipe, tmp_path):
    job = submit(cluster, tmp_path, *recipe, f"output_dir={tmp_path / 'run'}", "optim.lrr=1")
    wait_until_ended(cluster, job)
    assert cluster.job(job)["JobState"] == "FAILED"
    assert cluster.job(job)["Restarts"] == "0"
    assert "error: optim.lrr=1: unknown key; did you mean optim.lr" in (tmp_path / "job.out").read_text()
