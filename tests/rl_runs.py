"""Runs of ``python -m magic_megatron.rl`` in ``errand``, small enough for a test, and all that belongs to them."""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from magic_megatron.rl.rollouts import read

MARK = "MAGIC_TEST_RUN"
"""Set to the run's folder, it tells which processes are of the run."""
OVERRIDES = [
    "platform=rehearsal",
    "algorithm=xxpo",
    "env=errand",
    "env.max_steps=3",
    "env.history_length=0",
    "env.num_instances=8",
    "env.num_validation_instances=2",
    "data.max_prompt_length=440",
    "data.max_response_length=24",
    "train.num_steps=2",
    "train.batch_size=2",
    "train.save_interval=1",
    "rollout.n=2",
    "rollout.top_p=1",
    "rollout.top_k=-1",
    "validation.num_samples=1",
    "validation.interval=2",
    "validation.before=false",
    "optim.lr=1e-3",
]
SAMPLES_PER_STEP = 2 * 2 * 3  # nobody wins with random weights


def start(model, run, log, *overrides):
    command = [sys.executable, "-m", "magic_megatron.rl", *OVERRIDES, f"model.path={model}"]
    return subprocess.Popen(
        [*command, f"output_dir={run}", *overrides],
        stdout=log,
        stderr=subprocess.STDOUT,
        env=os.environ | {MARK: str(run)},
        start_new_session=True,
    )


def finish(model, run, log_path, *overrides, timeout=800):
    """The run to its end, and nothing of it left."""
    with log_path.open("a") as log:
        driver = start(model, run, log, *overrides)
        try:
            assert driver.wait(timeout=timeout) == 0, log_path.read_text()[-4000:]
        finally:
            driver.kill()
            driver.wait()
    wait_until(lambda: not processes_of(run), 90, log_path)


def metrics(run):
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def processes_of(run):
    """Everything that was started for the run, Ray's daemons and vLLM included."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.environ().get(MARK) == str(run):
                found.append(process)
    return found


def wait_until(condition, timeout, log, interval=0.5):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(interval)


def check(run: Path, num_steps: int = 2) -> list[dict]:
    """Every step once, with what a step has to show; the lines of the metrics."""
    lines = metrics(run)
    assert [line["step"] for line in lines] == list(range(1, num_steps + 1))
    for line in lines:
        # vLLM has the weights that the actor trains, and both compute in fp32.
        assert line["log_prob_difference_max"] < 1e-3
        assert line["grad_norm"] > 0
        assert line["entropy_term"] > 0
    samples = list(read(run, {num_steps}))
    assert len(samples) == lines[-1]["num_samples"]
    assert all(len(sample.entropies) == len(sample.response_ids) for sample in samples)
    return lines
